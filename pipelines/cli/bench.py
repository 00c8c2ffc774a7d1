"""`enr bench`: how fast each part is on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

PARTS = ("datagen", "loader", "train", "render")
HELP = """
Measure PART (all by default) and print JSON: rates, where the time goes, peak memory.

datagen: images/s, what a picture's time goes into, and how much faster that is than an upper-bound loop in Blender
and than a new Blender for each mesh, on the same meshes. loader: pairs/s of views from warm files.
train: images/s of whole training steps. render: frames/s of one scene seen from moving cameras; both with their stages,
multiply-adds and share of what the device does at most. gpu, on its own: both architectures beside a naive loop,
and a short training of each group of --shards with its evaluation.
"""


@click.command("bench", help=HELP)
@click.argument("part", type=click.Choice(["all", *PARTS, "gpu"]), default="all")
@click.option(
    "--meshes",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Render the meshes in this file or folder; repeatable [default: built-in shapes].",
)
@click.option("--count", type=int, help="Take only the first so many meshes, by their ids [default: all].")
@click.option("--scaling", is_flag=True, help="Measure datagen with one worker, too.")
@click.option(
    "--check-pairs",
    type=int,
    default=0,
    show_default=True,
    help="Measure datagen so many times with and without its checks of each mesh.",
)
@click.option(
    "--shards",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Read these shards for loader and train; repeatable [default: noise].",
)
@click.option("--views", type=int, default=50, show_default=True, help="Make so many pictures of each mesh.")
@click.option("--resolution", type=int, default=64, show_default=True, help="Make pictures of so many pixels a side.")
@click.option("--samples", type=int, default=16, show_default=True, help="Follow so many paths for each pixel.")
@click.option("--workers", type=int, help="Run so many Blender processes [default: one for each core].")
@click.option("--preset", default="small-64", show_default=True, help="Train and render with the model of this preset.")
@click.option("--batch-size", type=int, default=16, show_default=True, help="Take so many pairs of views a batch.")
@click.option("--seconds", type=float, default=10.0, show_default=True, help="Measure each figure for so many seconds.")
@click.option("--device", default="auto", show_default=True, help="Measure gpu on this device: auto, cpu or cuda.")
@click.option(
    "--size",
    type=click.Choice(["full", "toy"]),
    default="full",
    show_default=True,
    help="Measure gpu with full models, or rehearse it with toys.",
)
@click.option(
    "--train-minutes", type=float, default=2.0, show_default=True, help="Train so long on each group, for gpu."
)
@click.option("--out", type=click.Path(path_type=Path), help="Write the JSON into this file [default: print it].")
@click.option("--json", "as_json", is_flag=True, help="Print the JSON on one line [default: indented].")
def command(part: str, as_json: bool, out: Path | None, **options: Any) -> None:
    """`enr bench`."""
    gpu_options = {name: options.pop(name) for name in ("device", "size", "train_minutes")}
    results = _gpu({**gpu_options, **options}) if part == "gpu" else _parts(part, options)
    said = json.dumps(results, indent=None if as_json else 2)
    if out is None:
        click.echo(said)
    else:
        out.write_text(said + "\n", encoding="utf-8")


def _parts(part: str, options: dict[str, Any]) -> dict[str, Any]:
    from enr.datagen.workers.pool import default_workers
    from enr.pipelines.speed.benchmark import BenchSettings, run_benchmark

    settings = BenchSettings(**{**options, "workers": options["workers"] or default_workers()})
    return run_benchmark(PARTS if part == "all" else (part,), settings)  # type: ignore[arg-type]


def _gpu(options: dict[str, Any]) -> dict[str, Any]:
    """With what was given alone: a batch size or seconds that nobody named are those of the presets and of the part."""
    from enr.pipelines.speed.gpu import GpuSettings, benchmark_gpu

    is_given = click.get_current_context().get_parameter_source
    known = ("device", "size", "train_minutes", "shards", "seconds", "batch_size")
    given = {name: options[name] for name in known if is_given(name) is ParameterSource.COMMANDLINE}
    return benchmark_gpu(GpuSettings(**given), lambda words: click.echo(words, err=True))
