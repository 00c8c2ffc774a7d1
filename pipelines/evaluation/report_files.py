"""What an evaluation leaves: a JSON file and pictures, all of them or none.

The JSON file has the facts (`checkpoint`, `shards`, `source_view`, `sources`, `protocol`, `seed`, ...), the
`definition` of its numbers, `notes`, and `results`, one entry for each group and split: `scores` by candidate (`model`,
`one_source` and so on where the model is given more, `wrong_pose`, `untrained` if asked for, `background`,
`copied_input`, `mean_of_targets`) and metric (`psnr_db`, `psnr_foreground_db`,
`ssim`), `lead_db` over the better of the floors that see no target, `pose_gap_db`, `silhouette_iou`,
`chroma_correlation`, `unseen`, `distance` where the depth range travels, `equivariance` if asked for, `by_motion`
(PSNR by the size of the motion), and `per_scene`, the same for every scene. A number that does not exist is null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from PIL import Image

from enr import __version__
from enr.errors import EnrError
from enr.files import replacing, write_json
from enr.pipelines import metrics
from enr.pipelines.data.views import ViewSet
from enr.pipelines.evaluation.equivariance_report import summarise
from enr.pipelines.evaluation.floors import COPIED_INPUT, MEAN_OF_TARGETS
from enr.pipelines.evaluation.inputs import EvalSettings
from enr.pipelines.evaluation.report import FORMAT, FORMAT_VERSION, WRONG_POSE, GroupReport, Report, SceneScores
from enr.pipelines.evaluation.report_content import Facts, GroupContent, ReportContent, SceneContent
from enr.pipelines.evaluation.report_table import definition
from enr.pipelines.training.runs import new_folder

JSON_NAME = "report.json"
PAGE_NAME = "report.html"
"""The page about it, which `enr report` writes beside it."""

NAMES_OF_VERSION_1 = {"swapped_pose": WRONG_POSE, "copy_source": COPIED_INPUT, "mean_target": MEAN_OF_TARGETS}
"""What reports of the first version call some candidates."""


def common_facts(settings: EvalSettings, view_set: ViewSet, device: object) -> Facts:
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


def write_report(report: Report, sheets: Sequence[Image.Image], out: Path | None, home: Path) -> Report:
    """Write a report and the pictures that go with it, all of them or none.

    Args:
        report: what was measured.
        sheets: a picture for each of its groups.
        out: where they shall lie; a new folder `home/eval-<time>` if None.
        home: see `out`.

    Returns:
        The report with the paths of its files.

    Raises:
        EnrError: the disk is full, or they may not be written there; what was there is as it was.
    """
    folder = out or home / f"eval-{datetime.now():%Y%m%d-%H%M%S}"
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        if out is None:
            folder = new_folder(folder)
            made = [folder, *made[1:]]
        pictures = [folder / f"{group.group}-{group.split}.png" for group in report.groups]
        groups = tuple(replace(group, picture=path) for group, path in zip(report.groups, pictures, strict=True))
        report = replace(report, groups=groups, json_path=folder / JSON_NAME)
        is_second = report.json_path.exists()
        with ExitStack() as stack:  # everything is on the disk before anything has its name; the JSON file comes last
            write_json(stack.enter_context(replacing(report.json_path)), as_dict(report))
            for path, sheet in zip(pictures, sheets, strict=True):
                sheet.save(stack.enter_context(replacing(path)), format="PNG")
        if is_second:  # the page is about the earlier one, and none may follow
            (folder / PAGE_NAME).unlink(missing_ok=True)
    except OSError as error:
        with suppress(OSError):
            for place in made:
                place.rmdir()
        raise EnrError(
            f"The report could not be written to {folder} ({error}); free space there, or name another folder with "
            "--out."
        ) from error
    return report


def as_dict(report: Report) -> ReportContent:
    """The report as JSON holds it (with NaN still in it)."""
    results = [_group_dict(group) for group in report.groups]
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        **report.facts,
        "background": list(report.background),
        "definition": definition(report),
        "notes": list(report.notes),
        "results": results,
    }


def _group_dict(group: GroupReport) -> GroupContent:
    per_scene = [_scene_dict(scene) for scene in group.scenes]
    return {
        "group": group.group,
        "split": group.split,
        "scenes": len(group.scenes),
        "scores": group.scores,
        "lead_db": group.lead_db,
        "pose_gap_db": group.pose_gap_db,
        "silhouette_iou": group.silhouette_iou,
        "chroma_correlation": group.chroma_correlation,
        "unseen": asdict(group.unseen),
        "distance": group.distance or None,
        "equivariance": group.equivariance,
        "by_motion": group.by_motion,
        "seconds": round(group.seconds, 2),
        "picture": group.picture.name if group.picture else None,
        "per_scene": per_scene,
    }


def _scene_dict(scene: SceneScores) -> SceneContent:
    return {
        "scene_id": scene.scene_id,
        "source_view": scene.source_view,
        "sources": scene.sources,
        "targets": scene.targets,
        "scores": scene.scores,
        "silhouette_iou": scene.silhouette_iou,
        "chroma_predicted": list(scene.chroma[0]),
        "chroma_true": list(scene.chroma[1]),
        "unseen": asdict(scene.unseen),
        "equivariance": summarise(scene.equivariance)["all"] if scene.equivariance else None,
    }


def with_present_names(content: Mapping[str, Any]) -> ReportContent:
    """The content of a report's JSON file, whichever version wrote it, with the present names of its candidates."""
    return cast(ReportContent, {**content, "results": [_renamed(group) for group in content.get("results", ())]})


def _renamed(measured: Mapping[str, Any]) -> dict[str, Any]:
    """A group's or a scene's entry; its scores stay in their order."""
    scores = {NAMES_OF_VERSION_1.get(name, name): values for name, values in measured.get("scores", {}).items()}
    each = [_renamed(scene) for scene in measured.get("per_scene", ())]
    return {**measured, **({"scores": scores} if scores else {}), **({"per_scene": each} if each else {})}
