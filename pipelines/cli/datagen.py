"""`enr datagen`: meshes to shards of posed pictures."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import click

from enr.pipelines.cli.datagen_options import FILE, SECTIONS
from enr.pipelines.cli.sections import SectionedCommand, command_line, given, in_sections
from enr.words import count_of, splits_in_words

if TYPE_CHECKING:
    from enr.datagen.generate import Summary
    from enr.pipelines.config.data_sets import DatagenConfig

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""
NAMED_FAILURES = 20


@click.command(
    "datagen",
    cls=SectionedCommand,
    help="Render MESHES (files, folders or zip archives; any format that Blender imports) into shards of posed "
    "pictures.",
)
@click.argument("meshes", nargs=-1, required=True, type=FILE)
@in_sections(SECTIONS)
def command(**_: object) -> None:
    """`enr datagen`."""
    from enr.datagen.meshes.discovery import unread_files
    from enr.datagen.meshes.formats import unread_words
    from enr.pipelines.config.data_sets import DatagenConfig

    config = DatagenConfig(**given())
    if unread := unread_words(unread_files(config.meshes)):
        click.echo(unread, err=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a cluster's notice ends as cleanly as Ctrl-C
    try:
        _do(config)
    except KeyboardInterrupt:
        click.echo("Stopped; finished shards are kept, and the same command goes on from there.", err=True)
        sys.exit(INTERRUPTED)


def _do(config: DatagenConfig) -> None:
    """Forecast, or make the shards, here or on a cluster, and say what came of it."""
    from enr.datagen.generate import generate
    from enr.pipelines.generation.settings import generate_settings

    settings = generate_settings(config, command_line())
    if config.dry_run:
        from enr.pipelines.generation.dry_run import describe, estimate

        click.echo(describe(estimate(settings)))
        return
    if config.scheduler:
        from enr.pipelines.generation.cluster import generate_on_cluster

        summary = generate_on_cluster(settings, config.scheduler, config.workers, progress=True)
    else:
        summary = generate(settings, progress=True)
    click.echo(_report(summary, config.part))
    sys.exit(1 if summary.failures else 0)


def _report(summary: Summary, part: tuple[int, int] | None) -> str:
    """The summary in a few lines."""
    images, scenes = count_of(summary.images, "image"), count_of(summary.scenes, "mesh")
    lines = [f"{images} of {scenes} in {count_of(len(summary.shards), 'shard')}"]
    if summary.images_made:
        rate = summary.images_made / summary.seconds
        lines.append(
            f"{count_of(summary.images_made, 'image')} made in {summary.seconds:.1f} s ({rate:.1f} images/s"
            f"{f', {rate / summary.cards:.1f} on each of {summary.cards} cards' if summary.cards > 1 else ''}), "
            f"peak memory of a worker {summary.worker_peak_memory_mb:.0f} MB"
        )
    elif summary.scenes:
        lines.append("nothing to do: all that can be rendered was there already, made with the same settings")
    elif part and not summary.failures:
        lines.append(f"part {part[0]} of {part[1]} has no shard: there are fewer shards than parts; nothing to do")
    lines += [f"{name} was damaged and was made again: {problem}" for name, problem in summary.damaged.items()]
    if summary.scenes:
        lines.append(splits_in_words(summary.scenes_by_split, "--split gives"))
        if summary.repeated:
            trained, held_out = summary.repeated[0]
            lines.append(
                f"{count_of(len(summary.repeated), 'held-out mesh')} trained on under another id (such as {held_out}, "
                f"which is {trained}); leave one of each pair out, or scores on held-out meshes say too much"
            )
        lines.append(f"{summary.clipped_share:.1%} of the views are clipped by the picture's border")
    if summary.without_textures:
        lines.append(
            f"{count_of(summary.without_textures, 'mesh')} lack a texture, which was not found or cannot be read, and "
            "show a plain colour; textures_missing in the manifest says which"
        )
    if summary.without_colours:
        lines.append(
            f"{count_of(summary.without_colours, 'mesh')} with colours that are not shown (of faces in PLY, of STL and "
            "OFF, or a PLY's texture): export them as glTF; colours_hidden in the manifest says which"
        )
    if bad_views := {name: count for name, count in summary.flags.items() if name != "clipped"}:
        lines.append("views flagged: " + ", ".join(f"{count:,} {name}" for name, count in bad_views.items()))
    lines += _failures(summary)
    if summary.manifest:
        described = [path.name for path in (summary.manifest, summary.card, summary.contact_sheet) if path]
        lines.append(f"in {summary.manifest.parent}: shards, {', '.join(described)}")
    return "\n".join(lines)


def _failures(summary: Summary) -> list[str]:
    """How many meshes failed, the first ones of earlier runs by name, and what may be done about it."""
    earlier = {name: reason for name, reason in summary.failures.items() if name not in summary.failed_now}
    # Those of this run were said while it ran.
    where = " (named above)" if summary.failed_now else " in earlier runs:" if earlier else ""
    if summary.failed_now and earlier:
        where = f", {len(summary.failed_now):,} of them now (named above), {len(earlier):,} in earlier runs:"
    lines = [f"{count_of(len(summary.failures), 'mesh')} failed{where}"]
    lines += [f"  {scene_id}: {reason}" for scene_id, reason in list(earlier.items())[:NAMED_FAILURES]]
    if len(earlier) > NAMED_FAILURES:
        lines.append(f"  and {len(earlier) - NAMED_FAILURES:,} more")
    if summary.retryable:
        lines.append(f"another try may help {len(summary.retryable):,} of them: the same command with --retry-failed")
    return lines
