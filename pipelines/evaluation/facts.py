"""What is needed to make an evaluation again, as its JSON holds it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from enr import __version__
from enr.pipelines import metrics
from enr.pipelines.data.views import ViewSet
from enr.pipelines.evaluation.inputs import EvalSettings


def common_facts(settings: EvalSettings, view_set: ViewSet, device: object) -> dict[str, Any]:
    """Of every evaluation, be it of a checkpoint or of predictions."""
    return {
        "enr_version": __version__,
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "checkpoint": None,
        "predictions": None,
        "shards": [str(path) for path in view_set.paths],
        "image_shape": [3, view_set.height_px, view_set.width_px],
        "protocol": settings.protocol,
        "source_view": settings.source_view,
        "sources": settings.sources,
        "seed": settings.seed,
        "max_scenes": settings.max_scenes,
        "device": str(device),
        "psnr_cap_db": metrics.PSNR_CAP_DB,
    }


def checkpoint_facts(metadata: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint's metadata without the list of thousands of ids, which stays in the checkpoint."""
    data = {name: value for name, value in metadata.get("data", {}).items() if name != "trained_scene_ids"}
    return {**metadata, "data": data} if data else metadata
