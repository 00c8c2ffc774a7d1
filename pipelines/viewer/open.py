"""A viewer from what its user names: a checkpoint, pictures, shards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from enr.model import load_model
from enr.pipelines.data.views import ViewSet
from enr.pipelines.machine import pick_device, prepare_cpu
from enr.pipelines.training.runs import find_checkpoint, latest_run
from enr.pipelines.viewer.server import ViewerServer
from enr.pipelines.viewer.stage import Stage


def open_viewer(
    checkpoint: Path | None,
    pictures: Sequence[Path],
    shards: Sequence[Path],
    address: tuple[str, int],
    device: str = "auto",
) -> ViewerServer:
    """A server that is ready to serve.

    Args:
        checkpoint: a run, a checkpoint folder or a published `.pt`; None takes the latest run.
        pictures: files to show.
        shards: whose scenes to show; none, and no pictures: those of the run, where they still exist.
        address: host and port.
        device: `auto`, `cpu`, `cuda` …

    Raises:
        EnrError: something of it cannot be used.
    """
    prepare_cpu(1)  # Beside a browser a second thread made frames up to 70 times slower.
    path, run = find_checkpoint(checkpoint or latest_run())
    model = load_model(path, pick_device(device))
    named = tuple(shards)
    if not named and not pictures and run is not None:
        named = tuple(shard for shard in run.shards if shard.exists())
    view_set = ViewSet.open(named) if named else None
    stage = Stage(
        model,
        view_set if view_set and (view_set.height_px, view_set.width_px) == model.config.image_shape[1:] else None,
    )
    for picture in pictures:
        stage.add_picture(picture.name, picture)
    return ViewerServer(address, stage, str(path))
