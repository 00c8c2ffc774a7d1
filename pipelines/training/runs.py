"""Run folders: `runs/<time>-<name>/`, what lies in them and how they are found again.

| in the folder | what |
|---|---|
| `config.yaml` | the resolved configuration, and the absolute paths of the shards |
| `metrics.jsonl`, `tensorboard/` | what was measured while it trained |
| `checkpoints/last`, `checkpoints/best` | the newest weights (with the trainer's state), and the best on validation |
| `pictures/`, `progress.gif` | the same scenes again and again as the model learns |
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from enr.errors import EnrError
from enr.files import replacing

RUNS = Path("runs")
CONFIG_NAME = "config.yaml"
_SECTIONS = {"shards": list, "model": dict, "train": dict}


@dataclass(frozen=True)
class Run:
    """A run folder and its configuration.

    Attributes:
        folder: the run folder.
        config: the content of `config.yaml` (keys `preset`, `shards`, `model`, `train`, `enr_version`).
    """

    folder: Path
    config: dict[str, Any]

    @property
    def shards(self) -> tuple[Path, ...]:
        """Absolute paths of the shards that it was trained on."""
        return tuple(Path(path) for path in self.config["shards"])

    @property
    def last(self) -> Path:
        """The folder of the newest checkpoint."""
        return self.folder / "checkpoints" / "last"

    @property
    def best(self) -> Path:
        """The folder of the checkpoint with the best validation score."""
        return self.folder / "checkpoints" / "best"

    @property
    def metrics(self) -> Path:
        """The file of measurements, one JSON object a line."""
        return self.folder / "metrics.jsonl"

    @property
    def pictures(self) -> Path:
        """The folder of pictures that were rendered as it learned."""
        return self.folder / "pictures"


def create_run(root: Path, name: str, config: dict[str, Any]) -> Run:
    """Make a new run folder `<root>/<time>-<name>` that holds `config.yaml`.

    Args:
        root: the folder of all runs.
        name: last part of the folder's name.
        config: what `config.yaml` shall hold; plain YAML types.

    Raises:
        EnrError: the name has a slash, or the folder cannot be made.
    """
    check_name(name)
    check_folder(root, "--runs")
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = _unused(root / f"{stamp}-{name}")
    folder.mkdir(parents=True)
    run = Run(folder, config)
    write_config(run)
    return run


def write_config(run: Run) -> None:
    """Write `config.yaml`, complete or not at all."""
    with replacing(run.folder / CONFIG_NAME) as partial:
        partial.write_text(yaml.safe_dump(run.config, sort_keys=False))


def open_run(path: Path) -> Run:
    """The run in the folder `path`.

    Raises:
        EnrError: the folder is missing or holds no run.
    """
    file = Path(path) / CONFIG_NAME
    if not file.is_file():
        raise EnrError(f"{path} is not a run; give a folder made by `enr train` (it holds {CONFIG_NAME}).")
    try:
        config = yaml.safe_load(file.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise EnrError(f"{file} is not readable YAML; give a folder made by `enr train`.") from error
    if not isinstance(config, dict) or not all(isinstance(config.get(key), kind) for key, kind in _SECTIONS.items()):
        raise EnrError(f"{file} is not the configuration of a run; give a folder made by `enr train`.")
    if not all(isinstance(path, str) for path in config["shards"]):
        raise EnrError(f"{file} lists shards that are no paths ({config['shards']}); mend it, or start a new training.")
    return Run(Path(path), config)


def latest_run(root: Path = RUNS) -> Path:
    """The newest run folder in `root` that holds a checkpoint.

    Raises:
        EnrError: there is none, or `root` is no folder.
    """
    check_folder(root, "--runs")
    folders = [path.parent for path in Path(root).glob(f"*/{CONFIG_NAME}")]
    done = [folder for folder in folders if standing(folder / "checkpoints" / "last").is_dir()]
    if not done:
        raise EnrError(f"No earlier run in {root}/; train one with `enr train shards/*.h5`, or name a checkpoint.")
    return max(done, key=lambda folder: (folder.name, folder.stat().st_mtime))


def find_checkpoint(path: Path) -> tuple[Path, Run | None]:
    """The checkpoint that a path names, and the run that it lies in, if any.

    Args:
        path: a run folder (its best checkpoint), a checkpoint folder or file, or a published `.pt`.

    Raises:
        EnrError: there is nothing, or a run without a checkpoint.
    """
    if not path.exists():
        raise EnrError(f"{path} does not exist; give a run folder, a checkpoint folder or a published .pt file.")
    if (path / CONFIG_NAME).is_file():
        run = open_run(path)
        return checkpoint_of(run), run
    holders = [folder for folder in path.resolve().parents if (folder / CONFIG_NAME).is_file()]
    inside_a_run = holders and (holders[0] / "checkpoints") in path.resolve().parents
    return path, open_run(holders[0]) if inside_a_run else None


def checkpoint_of(run: Run) -> Path:
    """The run's best checkpoint, or its last one where no validation has been run yet.

    Raises:
        EnrError: it has none.
    """
    for folder in (standing(run.best), standing(run.last)):
        if folder.is_dir():
            return folder
    raise EnrError(f"The run {run.folder} holds no checkpoint yet; continue it with `enr train --resume`.")


def check_name(name: str) -> None:
    """Check the last part of a run folder's name.

    Raises:
        EnrError: it has a slash; such a run would lie deeper than where runs are looked for.
    """
    if "/" in name or "\\" in name:
        raise EnrError(f"--name {name} has a slash; give a name without one, and the folder of all runs with --runs.")


def check_folder(path: Path, option: str) -> None:
    """Check that a folder exists or can be made, without making it.

    Raises:
        EnrError: it, or what it would lie in, is a file or may not be written; the message names `option`.
    """
    holder = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not holder.is_dir():
        raise EnrError(f"{option} {path} cannot be a folder, {holder} is a file; name another folder.")
    if not os.access(holder, os.W_OK | os.X_OK):
        raise EnrError(f"{option} {path} cannot be written, {holder} is read-only; name another folder.")


def standing(checkpoint: Path) -> Path:
    """Where a checkpoint folder's content is: beside it, where its replacement was cut off between the two renames.

    It only looks, so that it may be asked while a training is running.
    """
    old = replaced_from(checkpoint)
    return old if old.is_dir() and not checkpoint.is_dir() else checkpoint


def replaced_from(checkpoint: Path) -> Path:
    """Where the earlier checkpoint lies while a new one takes its place."""
    return beside(checkpoint, ".old")


def beside(folder: Path, suffix: str) -> Path:
    """The hidden neighbour of a folder."""
    return folder.with_name(f".{folder.name}{suffix}")


def _unused(folder: Path) -> Path:
    """`folder`, or the same name with -2, -3, ... where it exists."""
    candidate, number = folder, 1
    while candidate.exists():
        number += 1
        candidate = folder.with_name(f"{folder.name}-{number}")
    return candidate
