"""What a report is told about each run: its configuration, its measurements, its evaluations."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from enr.errors import EnrError
from enr.model.checkpoint import read_metadata
from enr.model.description import CheckpointMetadata
from enr.pipelines.evaluation.checkpoint_predictor import learned_groups
from enr.pipelines.evaluation.report import FORMAT, MODEL, PSNR
from enr.pipelines.evaluation.report_content import GroupContent, ReportContent
from enr.pipelines.evaluation.report_files import with_present_names
from enr.pipelines.training.journal import GIF_NAME, read_metrics
from enr.pipelines.training.runs import (
    CONFIG_NAME,
    LATEST,
    Run,
    checkpoint_of,
    find_checkpoint,
    latest_run,
    open_run,
    standing,
)
from enr.words import count_of

JSON_NAME = "report.json"
_NUMBER = (int, float, type(None))
TOP: dict[str, Any] = {"results": list, "shards": list, "notes": list, "definition": str, "background": list}
TOP |= {"checkpoint": (str, type(None)), "checkpoint_metadata": (dict, type(None))}
GROUP: dict[str, Any] = {"group": str, "split": str, "scenes": int, "per_scene": list}
GROUP |= {"lead_db": _NUMBER, "pose_gap_db": _NUMBER, "seconds": _NUMBER}
PATH: dict[str, Any] = {"path": str}
SCORED: dict[str, Any] = {"scores": dict}


@dataclass(frozen=True)
class Reported:
    """One column of a report: a run with its evaluations, or an evaluation without a run.

    Attributes:
        name: what the page calls it.
        folder: of the run, or of the evaluation.
        run: None where the checkpoint lies in no run.
        evaluations: the one that the page is about first; empty where nothing was evaluated.
    """

    name: str
    folder: Path
    run: Run | None
    evaluations: tuple[ReportContent, ...]

    @property
    def evaluation(self) -> ReportContent | None:
        """The evaluation that the page is about."""
        return self.evaluations[0] if self.evaluations else None

    @property
    def results(self) -> list[GroupContent]:
        """Of that evaluation, one entry for each group and split."""
        return self.evaluation["results"] if self.evaluation else []

    @cached_property
    def notes(self) -> list[str]:
        """What a reader of its results should know: which weights were measured, how, and whether others are there."""
        if self.evaluation is None:
            return []
        told, setting = Path(self.evaluation["checkpoint"] or ""), setting_of(self.evaluation)
        step = (self.evaluation.get("checkpoint_metadata") or {}).get("step")
        measured = ", ".join([*([f"step {step}"] if step is not None else []), *([setting] if setting else [])])
        said = [f"Measured: {measured}."] if measured else []
        present = standing(self.run.folder / "checkpoints" / told.name) if self.run else told
        with suppress(EnrError, OSError):
            if difference := difference_of(self.evaluation, read_metadata(present)):
                again = f"`enr eval --checkpoint {self.run.folder if self.run else present}` measures them"
                said.append(f"This evaluation {difference}; {again}.")
        return [*said, *self.evaluation["notes"]]

    @cached_property
    def metrics(self) -> list[dict[str, Any]]:
        """What was measured while it trained, a table a line."""
        return read_metrics(self.run.metrics) if self.run else []

    def lines(self, kind: str) -> list[dict[str, Any]]:
        """The measurements of one kind, `train` or `validation`."""
        return [line for line in self.metrics if line.get("kind") == kind]

    @property
    def checkpoint(self) -> Path | None:
        """Where the weights lie that were evaluated, where none were the run's; None where they are no longer there."""
        if self.evaluation is not None:
            told = self.evaluation["checkpoint"]
            return Path(told) if told and Path(told).exists() else None
        try:
            return checkpoint_of(self.run) if self.run else None
        except EnrError:
            return None

    @property
    def trained_on(self) -> tuple[Path, ...]:
        """The shards that were trained on; empty where the run is not known."""
        return self.run.shards if self.run else ()

    @property
    def shards(self) -> tuple[Path, ...]:
        """The shards that were measured on, else those that were trained on."""
        return tuple(Path(path) for path in self.evaluation["shards"]) if self.evaluation else self.trained_on

    @property
    def given(self) -> tuple[tuple[int, ...], bool]:
        """The numbers of the input views, and whether the model was told their distance."""
        told = self.evaluation or {}
        first = told.get("source_view", 0)
        return tuple(range(first, first + told.get("sources", 1))), bool(told.get("known_distance"))

    @property
    def gif(self) -> Path | None:
        """The same scenes again and again as the model learned."""
        path = self.folder / GIF_NAME
        return path if self.run and path.is_file() else None


def gather(paths: Sequence[Path]) -> tuple[Reported, ...]:
    """Read runs and evaluations.

    Args:
        paths: run folders, or what `enr eval` wrote (its folder or its JSON file).

    Raises:
        EnrError: one of them is neither.
    """
    found = [_gather(path) for path in paths]
    names = [one.name for one in found]
    if len(set(names)) < len(names):  # copies of a run, or several evaluations of one
        names = [str(path) for path in paths]
    return tuple(replace(one, name=name) for one, name in zip(found, names, strict=True))


def _gather(path: Path) -> Reported:
    if str(path) == LATEST and not path.exists():
        path = latest_run()
    if (path / CONFIG_NAME).is_file():
        run = open_run(path)
        return Reported(path.absolute().name, path, run, _of_run(path))
    file = path / JSON_NAME if path.is_dir() else path
    if not file.is_file() or file.suffix != ".json":
        raise EnrError(
            f"{path} is neither a run nor an evaluation; give folders made by `enr train` (with {CONFIG_NAME}) or "
            f"`enr eval` (with {JSON_NAME})."
        )
    evaluation, made_by = read_evaluation(file), None
    checkpoint, holder = Path(evaluation.get("checkpoint") or ""), file.absolute().parent.parent
    if evaluation.get("checkpoint") and checkpoint.exists():
        made_by = find_checkpoint(checkpoint)[1]
    elif (holder / CONFIG_NAME).is_file():
        made_by = open_run(holder)
    if made_by is None:
        return Reported(file.absolute().parent.name, file.parent, None, (evaluation,))
    same = setting_of(evaluation), _groups_of(evaluation)
    others = tuple(other for other in _of_run(made_by.folder) if (setting_of(other), _groups_of(other)) != same)
    return Reported(made_by.folder.absolute().name, made_by.folder, made_by, (evaluation, *others))


def read_evaluation(file: Path) -> ReportContent:
    """The content of an evaluation's JSON file.

    Raises:
        EnrError: it is none.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise EnrError(f"{file} cannot be read as an evaluation ({error}); give what `enr eval` wrote.") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT or not _is_whole(content):
        raise EnrError(f"{file} is not an evaluation; give what `enr eval` wrote.")
    told = content.get("checkpoint")
    return {**with_present_names(content), "checkpoint": told and str(_where_it_lies(Path(told), file.absolute()))}


def _is_whole(content: Mapping[str, Any]) -> bool:
    """Whether the JSON of an evaluation has the entries that are read of it, each of its kind."""
    groups = content.get("results")
    if not _fits(content, TOP) or not groups or not all(_fits(group, GROUP) and group["per_scene"] for group in groups):
        return False
    scored = [entry for group in groups for entry in (group, *group["per_scene"])]
    if not all(
        _fits(entry, SCORED) and all(isinstance(part, dict) for part in entry["scores"].values()) for entry in scored
    ):
        return False
    return all(isinstance(entry["scores"].get(MODEL, {}).get(PSNR), int | float) for entry in scored) and all(
        isinstance(scene.get("scene_id"), str) for group in groups for scene in group["per_scene"]
    )


def _fits(entry: object, kinds: Mapping[str, Any]) -> bool:
    return isinstance(entry, dict) and all(isinstance(entry.get(key), kind) for key, kind in kinds.items())


def _where_it_lies(told: Path, file: Path) -> Path:
    """A checkpoint as an evaluation names it, which was run elsewhere or whose folder was moved since."""
    beside = file.parent.parent / "checkpoints" / told.name
    places = (told, *(parent / told for parent in file.parents), beside)
    return next((standing(place) for place in places if standing(place).exists()), told)


def difference_of(evaluation: ReportContent, metadata: CheckpointMetadata) -> str:
    """In what the weights that were measured differ from those of a checkpoint's metadata, in words.

    Empty where they do not, as far as both say it: a training that went on has other weights under the same name.
    """
    told: Mapping[str, Any] = evaluation.get("checkpoint_metadata") or {}
    own: Mapping[str, Any] = metadata
    both = [
        key for key in ("step", "preset", "group", "train", "elapsed_s") if None not in (told.get(key), own.get(key))
    ]
    if "step" in both and told["step"] != own["step"]:
        return f"measured step {told['step']}, the weights are of step {own['step']}"
    if "train" in both and isinstance(told["train"], dict):
        shared = told["train"].keys() & own["train"].keys()
        both += [f"train.{key}" for key in sorted(shared) if told["train"][key] != own["train"][key]][:1]
    other = next((key for key in both if "." in key or (key != "train" and told[key] != own[key])), None)
    if other is None and _trained_on(told) and _trained_on(own) and _trained_on(told) != _trained_on(own):
        other = "data"
    return f"measured the weights of another training (of other {other})" if other else ""


def _trained_on(metadata: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """The shards by name, wherever they lay."""
    data = metadata.get("data")
    shards = data.get("shards", ()) if isinstance(data, dict) else ()
    return [(Path(shard["path"]).name, shard.get("seed"), shard.get("views")) for shard in shards if _fits(shard, PATH)]


def _of_run(folder: Path) -> tuple[ReportContent, ...]:
    """A run's evaluations: of each setting and groups the newest; the plainest first, of groups that it learned."""
    newest: dict[tuple[bool, bool, str, tuple[str, ...]], ReportContent] = {}
    for file in folder.glob(f"*/{JSON_NAME}"):
        try:
            evaluation = read_evaluation(file)
        except EnrError:  # something else of that name; the page is about what can be read
            continue
        setting, groups = setting_of(evaluation), _groups_of(evaluation)
        is_foreign = not set(groups) <= set(learned_groups(evaluation.get("checkpoint_metadata") or {}))
        place = (setting != "", is_foreign, setting, groups)
        if place not in newest or age_of(evaluation) > age_of(newest[place]):
            newest[place] = evaluation
    return tuple(evaluation for _, evaluation in sorted(newest.items(), key=lambda item: item[0]))


def _groups_of(evaluation: ReportContent) -> tuple[str, ...]:
    return tuple(sorted({result["group"] for result in evaluation["results"]}))


def age_of(evaluation: ReportContent) -> float:
    """When it was made, whatever the zone of the machine's clock; of one that does not say, long ago."""
    with suppress(ValueError):
        return datetime.fromisoformat(str(evaluation.get("time"))).timestamp()
    return 0.0


def setting_of(evaluation: ReportContent) -> str:
    """How it differs from a plain evaluation, in words; empty where it does not."""
    sources, first = evaluation.get("sources", 1), evaluation.get("source_view", 0)
    words = [
        count_of(sources, "input view") if sources > 1 else "",
        f"input view {first}" if first else "",
        "known distance" if evaluation.get("known_distance") else "",
        f"protocol {evaluation['protocol']}" if evaluation.get("protocol") else "",
        f"{evaluation['max_scenes']} scenes at most" if evaluation.get("max_scenes") else "",
        "predictions of another method" if evaluation.get("predictions") else "",
    ]
    return ", ".join(word for word in words if word)
