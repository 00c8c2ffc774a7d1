"""Equivariant neural rendering: posed renders from meshes, training, evaluation.

    shards = enr.generate("shapenet/chairs", group="rototrans", views=50)   # enr datagen
    run = enr.train(shards, preset="small-64", max_minutes=30)              # enr train
    report = enr.evaluate(run, ssim=True)                                   # enr eval; report.psnr_db["rototrans"]

Importing this package loads neither torch nor bpy: each call imports what it needs when it is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from enr.errors import EnrError
    from enr.pipelines.front_door.data import OpenShards, SceneViews, Shards, generate, open_shards
    from enr.pipelines.front_door.learning import Evaluation, TrainedRun, evaluate, load_model, report, train
    from enr.pipelines.front_door.viewing import Views, generate_novel_views, novel_views

__version__ = "0.1.0"

_HOME = {
    "EnrError": "enr.errors",
    "Evaluation": "enr.pipelines.front_door.learning",
    "OpenShards": "enr.pipelines.front_door.data",
    "SceneViews": "enr.pipelines.front_door.data",
    "Shards": "enr.pipelines.front_door.data",
    "TrainedRun": "enr.pipelines.front_door.learning",
    "Views": "enr.pipelines.front_door.viewing",
    "evaluate": "enr.pipelines.front_door.learning",
    "generate": "enr.pipelines.front_door.data",
    "generate_novel_views": "enr.pipelines.front_door.viewing",
    "load_model": "enr.pipelines.front_door.learning",
    "novel_views": "enr.pipelines.front_door.viewing",
    "open_shards": "enr.pipelines.front_door.data",
    "report": "enr.pipelines.front_door.learning",
    "train": "enr.pipelines.front_door.learning",
}

__all__ = [
    "EnrError",
    "Evaluation",
    "OpenShards",
    "SceneViews",
    "Shards",
    "TrainedRun",
    "Views",
    "__version__",
    "evaluate",
    "generate",
    "generate_novel_views",
    "load_model",
    "novel_views",
    "open_shards",
    "report",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
