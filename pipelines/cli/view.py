"""`enr view`: an object turns under the mouse."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(
    "view",
    help="""Open a page on which the object of a picture turns under the mouse.

    Each CHECKPOINT is a run, a checkpoint folder or a published .pt; the page offers all of them; without any, the
    latest run's best and the runs before it, and the model that comes with enr. It shows the given pictures, else the
    scenes of the run's shards, the unseen ones first; more can be uploaded in the page. Ctrl-C ends it.
    """,
)
@click.argument("checkpoints", nargs=-1, metavar="[CHECKPOINT]...", type=click.Path(path_type=Path))
@click.option(
    "--picture",
    "pictures",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Show the object of this picture; repeatable.",
)
@click.option(
    "--shards",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Show the scenes of these shards; repeatable [default: the run's].",
)
@click.option("--follow", is_flag=True, help="Show a run's newest checkpoint, and each newer one as it trains.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Listen on this address; with 0.0.0.0 other computers can open the page.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=7007,
    show_default=True,
    help="Listen on this port; 0 takes a free one.",
)
@click.option("--no-browser", is_flag=True, help="Do not open the page.")
@click.option(
    "--device", default="auto", show_default=True, help="Compute on this device: auto, cpu, cuda, cuda:1 and so on."
)
def command(
    checkpoints: tuple[Path, ...],
    pictures: tuple[Path, ...],
    shards: tuple[Path, ...],
    follow: bool,
    host: str,
    port: int,
    no_browser: bool,
    device: str,
) -> None:
    """Open a page on which the object of a picture turns under the mouse."""
    from enr.pipelines.viewer.open import open_viewer, show_page
    from enr.pipelines.viewer.shelf import Offer

    server = open_viewer(checkpoints, Offer(pictures, shards, device, follow), (host, port))
    click.echo(f"Model: {server.shelf.model(0).path}")
    click.echo(f"The viewer is at {server.url} (Ctrl-C ends it)")
    if not no_browser and not show_page(server.url):
        click.echo(
            "No browser could be opened here; open that address in one. From another machine: "
            f"ssh -L {server.server_address[1]}:127.0.0.1:{server.server_address[1]} THIS-MACHINE"
        )
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        click.echo("Ended.")
    finally:
        server.server_close()
