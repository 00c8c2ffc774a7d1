"""`enr pack`: a trained run in the layout of the Hub; its card says how it was made, how good it is, and where not."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import torch
from PIL import Image
from tabulate import tabulate

from enr.camera import looking_down_deg
from enr.errors import EnrError
from enr.files import replacing
from enr.model.checkpoint import HUB_CONFIG_NAME, WEIGHTS_NAME, load_model, read_metadata
from enr.model.config import RendererConfig
from enr.model.counting import count_macs, count_parameters
from enr.model.description import CheckpointMetadata, TrainedShard
from enr.model.hub import CARD_NAME, EXAMPLES, save_packed
from enr.model.sighting import find_boxes
from enr.pipelines.config.presets import preset_names, read_preset
from enr.pipelines.config.resolved import validated_train
from enr.pipelines.data.images import Images
from enr.pipelines.data.views import Scene, ViewSet, composite
from enr.pipelines.evaluation.report import WRONG_POSE
from enr.pipelines.evaluation.report_content import ReportContent
from enr.pipelines.experiments.begun import RECORD_NAME
from enr.pipelines.experiments.table import DONE_NAME, FLOOR_LABELS, read_json
from enr.pipelines.reporting.gather import age_of, difference_of, read_evaluation, setting_of
from enr.pipelines.training.initial import RECORD as EARLIER
from enr.pipelines.training.runs import CONFIG_NAME, Run, check_folder, find_checkpoint
from enr.words import count_of, minutes_in_words

EXAMPLE_ELEVATION_DEG = 25.0
WRITTEN = (WEIGHTS_NAME, HUB_CONFIG_NAME, CARD_NAME, EXAMPLES)
"""What a packed model's folder holds."""

OF_A_MACHINE = ("device", "threads", "precision", "compile", "checkpoint_minutes", "log_every", "lpips_weights")
"""Entries of a training that say where and how it ran, not what it learned."""

WORST = 5
"""Scenes that the card names as the worst."""

SHAPE_ID = re.compile(r"([a-z]+)-\d+-\d{3,}")
"""Scene ids of built-in shapes begin with their kind."""

FOLDER = re.compile(r"(?<!\S)/\S*/")
"""Where the shards and runs lay on one machine is nobody else's concern."""

COLUMNS = {"model": "this model", **FLOOR_LABELS, WRONG_POSE: "this model, wrong pose"}

LIBRARY = "library_name: enr"
"""The line of a card's head by which a packed model is told from other folders."""

DEPTHS = ("*", "*/*", "*/*/*")
"""How deep runs lie in a folder of them, or in an experiment."""

CARD = Template("""---
license: apache-2.0
library_name: enr
tags: [novel-view-synthesis, equivariance, neural-rendering]
---

# $name

Renders an object from other cameras, given one picture of it: $size px, $parameters parameters, $macs million
multiply-adds to encode a picture and render a view.

    import enr

    model = enr.load_model("$name")   # or this folder

`enr render PICTURE --checkpoint $name` renders other views of a picture, `enr view $name` opens a page on which the
object turns.

## Data

$data

## Training

$training

## Scores

Unseen objects ($scenes), views of $group; PSNR in dB, mean over the views of an object, then over objects. The weights
were rounded to half precision afterwards.

$scores

## Where it fails

$failures
- what one picture does not show is guessed: the far side is blurred where such objects differ
- objects unlike those that it was trained on, surroundings, hard shadows, cameras and lenses outside the ranges above
""")


@dataclass(frozen=True)
class PackSettings:
    """What is packed.

    Attributes:
        run: a run or a checkpoint.
        out: the folder to write.
        report: the `report.json` of its evaluation; None: the newest beside the run.
        overwrite: replace a model that is there.
    """

    run: Path
    out: Path
    report: Path | None = None
    overwrite: bool = False


def pack(settings: PackSettings) -> int:
    """Write the folder; the size of the weights in bytes.

    Raises:
        EnrError: no checkpoint, no evaluation of it, a model too large, or a folder that is in use.
    """
    checkpoint, run = find_checkpoint(settings.run)
    _check_out(settings)
    report = _read_report(settings, checkpoint, run)
    model, metadata = load_model(checkpoint), read_metadata(checkpoint)
    data = metadata.get("data", {})
    shards: list[TrainedShard] = [{**shard, "path": Path(shard["path"]).name} for shard in data.get("shards", ())]
    done = read_json(run.folder.parent / DONE_NAME) if run else {}
    if run and done:
        done["experiment"] = read_json(_root_of(run) / RECORD_NAME).get("command")
    card = make_card(settings.out.resolve().name, model.config, metadata, done, report)
    before = {settings.out / name for name in WRITTEN if (settings.out / name).exists()}
    try:
        size = save_packed(settings.out, model, {**metadata, "data": {**data, "shards": shards}}, card)
        if run:
            _write_examples(settings.out / EXAMPLES, run, report["results"][0])
    except OSError as error:
        for name in (WEIGHTS_NAME, HUB_CONFIG_NAME, CARD_NAME):
            if settings.out / name not in before:
                with suppress(OSError):
                    (settings.out / name).unlink()
        raise EnrError(
            f"The model could not be written to {settings.out} ({error.strerror or error}); free space there, or give "
            "another folder."
        ) from error
    return size


def _check_out(settings: PackSettings) -> None:
    """Refuse a folder that cannot be written, that is of a run, or that holds what is not to be replaced."""
    out = settings.out
    if out.is_file():
        raise EnrError(f"{out} is a file; give a folder for the model.")
    check_folder(out, "OUT")
    place = out.resolve()
    inside = [folder for depth in DEPTHS for folder in place.glob(depth)]
    runs = [folder for folder in (place, *place.parents, *inside) if _is_run(folder)]
    if runs:
        word = "is" if runs[0] == place else "lies in" if runs[0] in place.parents else "holds"
        raise EnrError(f"{out} {word} {'a run' if word == 'is' else f'the run {runs[0]}'}; give a folder beside it.")
    there = [name for name in WRITTEN if (out / name).exists()]
    if there and not settings.overwrite:
        raise EnrError(f"{out} holds {' and '.join(there)} already; give another folder, or --overwrite.")
    if there and not _is_packed(out):
        raise EnrError(
            f"{out} holds {' and '.join(there)}, and no model that `enr pack` wrote, which alone --overwrite replaces; "
            "give another folder."
        )


def _is_run(folder: Path) -> bool:
    return (folder / CONFIG_NAME).is_file() and (folder / "checkpoints").is_dir()


def _is_packed(folder: Path) -> bool:
    """Whether `enr pack` wrote a folder: its card's head names the library, and its config says what the model is."""
    card = folder / CARD_NAME
    if not (card.is_file() and (folder / HUB_CONFIG_NAME).is_file()):
        return False
    _, head, *_ = [*card.read_text(encoding="utf-8", errors="replace").split("---\n", 2), ""]
    return LIBRARY in head.splitlines()


def _root_of(run: Run) -> Path:
    """The folder of the experiment that the run would be of: it holds `runs/<name>/<run>`."""
    return run.folder.resolve().parent.parent.parent


def _read_report(settings: PackSettings, checkpoint: Path, run: Run | None) -> ReportContent:
    """The evaluation that is asked for, or that of the checkpoint in its run or its experiment: plain, and the newest.

    A run may have been moved or copied since: the evaluations in its folder are its own, wherever it lay then.
    """
    metadata = read_metadata(checkpoint)
    if settings.report is not None:
        report = read_evaluation(settings.report)
        difference = difference_of(report, metadata)
        known = difference or (report.get("checkpoint_metadata") or {}).get("step") is not None
        if not known and _lies_at(report) != checkpoint.resolve():
            difference = f"measured {report['checkpoint'] or 'predictions of another method'}, not {checkpoint}"
        if difference:
            raise EnrError(_measure_again(f"{settings.report} {difference}", settings.run))
        return report
    found = []
    for path in [*run.folder.glob("*/report.json"), *_root_of(run).glob("evals/*/*/report.json")] if run else []:
        with suppress(EnrError):  # something else of that name
            report = read_evaluation(path)
            within = run is not None and path.parent.parent == run.folder
            if _lies_at(report) == checkpoint.resolve() or (within and _lies_at(report).name == checkpoint.name):
                found.append(report)
    own = [report for report in found if not difference_of(report, metadata)]
    if own:
        return max(own, key=lambda report: (not setting_of(report), age_of(report)))
    if found:
        newest = max(found, key=age_of)
        raise EnrError(
            _measure_again(f"The evaluation of {checkpoint} {difference_of(newest, metadata)}", settings.run)
        )
    raise EnrError(
        f"No evaluation of {checkpoint} was found, and its card says how good it is; measure it with "
        f"`enr eval --checkpoint {settings.run} --ssim`, or name one with --report."
    )


def _measure_again(found: str, run: Path) -> str:
    return f"{found}; measure again with `enr eval --checkpoint {run} --ssim`, or name its own with --report."


def _lies_at(report: ReportContent) -> Path:
    """The checkpoint that was measured; of predictions, what no checkpoint is."""
    return Path(report["checkpoint"] or os.devnull).resolve()


def make_card(
    name: str, config: RendererConfig, metadata: CheckpointMetadata, done: Mapping[str, Any], report: Mapping[str, Any]
) -> str:
    """The README.

    Args:
        name: of the model.
        config: its architecture.
        metadata: its checkpoint's.
        done: what an experiment recorded of its training (command, hardware, commit); empty without one.
        report: of its evaluation.
    """
    part = report["results"][0]
    return CARD.substitute(
        name=name,
        size=f"{config.image_shape[2]}x{config.image_shape[1]}",
        parameters=f"{count_parameters(config):,}",
        macs=f"{count_macs(config) / 1e6:,.0f}",
        data="\n".join(_data_lines(metadata)),
        training="\n".join(_training_lines(metadata, done)),
        scenes=count_of(part["scenes"], "scene"),
        group=part["group"],
        scores=_score_table(part),
        failures="\n".join(_failure_lines(part, report)),
    )


def _data_lines(metadata: CheckpointMetadata) -> Iterator[str]:
    data = metadata.get("data", {})
    kinds = Counter(_kind(scene) for scene in data.get("trained_scene_ids", ()))
    named = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()) if kind)
    for group, counts in data.get("scenes", {}).items():
        yield f"- {group}: " + ", ".join(f"{count} {split}" for split, count in counts.items()) + " scenes"
    if named:
        yield f"- trained on built-in shapes by kind: {named}"
    yield f"- pictures: {sum(shard.get('views', 0) for shard in data.get('shards', ())):,}"
    for made in data.get("made_with", ()):
        poses, render = made.get("poses", {}), made.get("render", {})
        chosen = {name: poses.get(name) for name in ("group", "radius", "elevation_deg", "azimuth_deg", "box")}
        chosen |= {name: render.get(name) for name in ("focal_px", "samples", "normalise")}
        chosen["lighting"] = render.get("look", {}).get("lighting")
        yield "- " + ", ".join(f"{name} {value}" for name, value in chosen.items() if value is not None)


def _training_lines(metadata: CheckpointMetadata, done: Mapping[str, Any]) -> Iterator[str]:
    if done.get("experiment"):
        yield f"- all of it: `{FOLDER.sub('', done['experiment'])}`"
    command = done.get("command") or _command(metadata)
    yield f"- command: `{FOLDER.sub('', command)}`"
    if earlier := metadata.get(EARLIER):
        step = f", step {earlier['step']:,}" if earlier.get("step") is not None else ""
        yield f"- CHECKPOINT: an earlier training on {', '.join(earlier['groups']) or 'what it does not say'}{step}"
    machine = {**metadata.get("machine", {}), **done.get("machine", {})}
    if machine:
        device = done.get("device") or f"{machine.get('device')}, torch {machine.get('torch')}"
        yield f"- hardware: {device}; {count_of(machine.get('cores', 0), 'core')}, {machine.get('processor')}"
    if done:
        yield f"- made by {done.get('source')}, {str(done.get('time'))[:10]}"
    minutes = metadata.get("elapsed_s", 0) / 60
    spent = f"{minutes / 60:.1f} hours" if minutes >= 60 else minutes_in_words(minutes)
    yield f"- these weights: step {metadata.get('step', 0):,}, after {spent}"


def _command(metadata: CheckpointMetadata) -> str:
    """What trains such a model again, as far as its checkpoint tells: the preset, and what was set beside it."""
    train, preset = dict(metadata.get("train") or {}), metadata.get("preset")
    usual = asdict(validated_train(read_preset(preset).train)) if preset in preset_names() else {}
    minutes, seed = train.pop("max_minutes", None), train.pop("seed", None)
    told, known = _flat(train), _flat(usual)
    chosen = {key: value for key, value in told.items() if key in known and value != known[key]} if known else {}
    if not known and train.get("steps") is not None:
        chosen["steps"] = train["steps"]
    words = ["enr train SHARDS", *(["--init CHECKPOINT"] if metadata.get(EARLIER) else [])]
    words += [f"--preset {preset}"] if preset else []
    words += [f"--max-minutes {minutes:g}"] if minutes else []
    words += [
        f"--set {key}={'null' if value is None else value}" for key, value in chosen.items() if key not in OF_A_MACHINE
    ]
    words += [f"--set seed={seed}"] if seed is not None else []
    return " ".join(words)


def _flat(train: Mapping[str, Any]) -> dict[str, Any]:
    """With keys such as `loss.ssim`, as `--set` takes them."""
    parts = {
        f"{name}.{key}": value for name, part in train.items() if isinstance(part, dict) for key, value in part.items()
    }
    return {name: value for name, value in train.items() if not isinstance(value, dict)} | parts


def _score_table(part: Mapping[str, Any]) -> str:
    """A row for all scenes, and one for each kind of built-in shape where there are several."""
    scenes = part["per_scene"]
    kinds = defaultdict(list)
    for scene in scenes:
        kinds[_kind(scene["scene_id"])].append(scene)
    parts = [("all", scenes), *sorted(kinds.items())] if len(kinds) > 1 else [("all", scenes)]
    rows = [
        [name or "others", len(some), *(f"{_mean(some, column, 'psnr_db'):.2f}" for column in COLUMNS), _ssim(some)]
        for name, some in parts
    ]
    return tabulate(rows, headers=["", "scenes", *COLUMNS.values(), "SSIM"], tablefmt="pipe", disable_numparse=True)


def _failure_lines(part: Mapping[str, Any], report: Mapping[str, Any]) -> Iterator[str]:
    ordered = sorted(part["per_scene"], key=lambda scene: scene["scores"]["model"]["psnr_db"])
    named = [f"{scene['scene_id']} ({scene['scores']['model']['psnr_db']:.2f} dB)" for scene in ordered[:WORST]]
    yield f"- the worst scenes: {', '.join(named)}"
    yield from (f"- {note}" for note in report.get("notes", ()))


def _write_examples(folder: Path, run: Run, part: Mapping[str, Any]) -> None:
    """A view of each kind's middle unseen scene, to be looked at with `enr view`.

    Of built-in shapes alone: pictures of other objects may not be free to be passed on.
    """
    kinds = defaultdict(list)
    for scene in sorted(part["per_scene"], key=lambda scene: scene["scores"]["model"]["psnr_db"]):
        kinds[_kind(scene["scene_id"])].append(scene["scene_id"])
    middle = {ids[len(ids) // 2]: kind for kind, ids in kinds.items() if kind}
    if not middle or not all(path.is_file() for path in run.shards):
        return
    view_set = ViewSet.open(run.shards)
    for scene in view_set.scenes(part["split"], part["group"]):
        if scene.scene_id in middle:
            with replacing(folder / f"{middle[scene.scene_id]}.png") as partial:
                Image.fromarray(_whole_from_above(view_set, scene)).save(partial, format="png")


def _whole_from_above(view_set: ViewSet, scene: Scene) -> Images:
    """A view (height, width, 4) of a scene as people take pictures: whole, if there is one, and from a little above."""
    images, background = view_set.images(scene.view_indices), torch.tensor(view_set.background)
    is_whole = find_boxes(composite(torch.from_numpy(images), background), background).is_whole.numpy()
    elevation_deg = looking_down_deg(view_set.views["world_from_camera"][scene.view_indices])
    return images[np.lexsort((np.abs(elevation_deg - EXAMPLE_ELEVATION_DEG), ~is_whole))[0]]


def _kind(scene_id: str) -> str:
    found = SHAPE_ID.fullmatch(scene_id)
    return found[1] if found else ""


def _mean(scenes: Sequence[Mapping[str, Any]], candidate: str, metric: str) -> float:
    values = [scene["scores"].get(candidate, {}).get(metric) for scene in scenes]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else float("nan")


def _ssim(scenes: Sequence[Mapping[str, Any]]) -> str:
    mean = _mean(scenes, "model", "ssim")
    return "" if mean != mean else f"{mean:.3f}"
