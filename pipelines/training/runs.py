"""Run folders: `runs/<UTC time>-<name>/`, what lies in them, how it is written and found again.

| in the folder | what |
|---|---|
| `config.yaml` | the resolved configuration, when the run was made (UTC), and the absolute paths of the shards |
| `metrics.jsonl`, `tensorboard/` | what was measured while it trained |
| `checkpoints/last`, `checkpoints/best` | the newest weights (with the trainer's state), and the best on validation |
| `pictures/`, `progress.gif` | the same scenes again and again as the model learns |
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from enr.errors import EnrError
from enr.files import replacing, sync
from enr.model.description import CheckpointMetadata
from enr.model.shipped import shipped_model
from enr.pipelines.config.training import RUNS

if TYPE_CHECKING:
    from enr.model.renderer import Renderer

CONFIG_NAME = "config.yaml"
CREATED = "created_utc"
"""The entry of `config.yaml` that says when the run was made; folders may be copied and renamed."""

LATEST = "latest"
STAMP = "%Y%m%d-%H%M%S"
STATE_NAME = "trainer.pt"
_SECTIONS = {"shards": list, "model": dict, "train": dict}
_STATE_ENTRIES: dict[str, Any] = {
    "step": int,
    "elapsed_s": (int, float),
    "best_psnr_db": (int, float),
    "optimizer": dict,
    "loader": dict,
    "rng_cuda": list,
}


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

    def with_entries(self, entries: Mapping[str, Any]) -> Run:
        """With other entries of `config.yaml`, which is not written yet."""
        return Run(self.folder, {**self.config, **entries})


def create_run(root: Path, name: str, config: dict[str, Any]) -> Run:
    """Make a new run folder `<root>/<UTC time>-<name>`; `write_config` makes a run of it.

    Args:
        root: the folder of all runs.
        name: last part of the folder's name.
        config: what `config.yaml` shall hold beside the time; plain YAML types.

    Raises:
        EnrError: the name has a slash, or the folder cannot be made.
    """
    check_name(name)
    check_folder(root, "--runs")
    now = datetime.now(UTC)
    folder = new_folder(root / f"{now.strftime(STAMP)}-{name}")
    return Run(folder, {CREATED: now.isoformat(), **config})


def write_config(run: Run) -> None:
    """Write or replace `config.yaml`, complete or not at all."""
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
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise EnrError(f"{file} is not readable YAML; give a folder made by `enr train`.") from error
    if not isinstance(config, dict) or not all(isinstance(config.get(key), kind) for key, kind in _SECTIONS.items()):
        raise EnrError(f"{file} is not the configuration of a run; give a folder made by `enr train`.")
    if not all(isinstance(path, str) for path in config["shards"]):
        raise EnrError(f"{file} lists shards that are no paths ({config['shards']}); mend it, or start a new training.")
    return Run(Path(path), config)


@contextmanager
def held(run: Run) -> Iterator[None]:
    """Keep other trainings out of a run's folder; the system lets go of it when the process dies, however it dies.

    Raises:
        EnrError: another process trains in it.
    """
    handle = os.open(run.folder, os.O_RDONLY)  # the folder itself is locked: there is no file to be left behind
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:  # where the file system knows no locks, work goes on without one
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise EnrError(f"{run.folder} is being trained by another process; wait for it, or stop it.") from error
        yield
    finally:
        os.close(handle)


def latest_run(root: Path = RUNS) -> Path:
    """The folder of the newest run in `root` that holds a checkpoint, by the time at which it was made.

    Raises:
        EnrError: there is none, or `root` is no folder.
    """
    check_folder(root, "--runs")
    folders = [path.parent for path in Path(root).glob(f"*/{CONFIG_NAME}")]
    done = [folder for folder in folders if standing(folder / "checkpoints" / "last").is_dir()]
    if not done:
        raise EnrError(f"No earlier run in {root}/; train one with `enr train shards/*.h5`, or name a checkpoint.")
    return max(done, key=_made)


def named_run(name: str | Path, root: Path = RUNS) -> Path:
    """The folder of the run that is to go on: `latest`, which is the newest one in `root`, or its path.

    Raises:
        EnrError: it is none.
    """
    folder = latest_run(root) if str(name) == LATEST else Path(name)
    if not (folder / CONFIG_NAME).is_file():
        advice = _given_instead(folder, f"give a folder made by `enr train` (it holds {CONFIG_NAME})")
        raise EnrError(f"{folder} is not a run; {advice}.")
    open_run(folder)
    return folder


def _made(folder: Path) -> tuple[datetime, bool, str]:
    """When a run was made; of a run and its copies the one that still has the name it was given comes last."""
    stamp = "-".join(folder.name.split("-")[:2])
    try:
        made = datetime.fromisoformat(str(open_run(folder).config[CREATED]))
    except (EnrError, KeyError, ValueError):  # of an earlier version, which named folders by local time
        try:
            made = datetime.strptime(stamp, STAMP).astimezone(UTC)
        except ValueError:
            made = datetime.fromtimestamp((folder / CONFIG_NAME).stat().st_mtime, UTC)
    return made, stamp == made.strftime(STAMP), folder.name


def find_checkpoint(path: Path, root: Path = RUNS) -> tuple[Path, Run | None]:
    """The checkpoint that a path names, and the run that it lies in, if any.

    Args:
        path: a run folder (its best checkpoint), a checkpoint folder or file, a published `.pt`, the name of a model
            that comes with enr, or `latest`, the newest run.
        root: the folder of all runs, in which the newest one is looked for.

    Raises:
        EnrError: there is nothing, a run without a checkpoint, or a folder of another kind.
    """
    if str(path) == LATEST and not path.exists():
        path = latest_run(root)
    if (path / CONFIG_NAME).is_file():
        run = open_run(path)
        return checkpoint_of(run), run
    holders = [folder for folder in path.resolve().parents if (folder / CONFIG_NAME).is_file()]
    if path.exists() and holders and (holders[0] / "checkpoints") in path.resolve().parents:
        return path, open_run(holders[0])
    found = shipped_model(path) or path
    if not found.exists():
        raise EnrError(f"{path} does not exist; give a run folder, a checkpoint folder or a published .pt file.")
    if found.is_dir() and not any(found.glob("*.safetensors")) and not any(found.glob("*.json")):
        raise EnrError(
            f"{found} lacks model.safetensors and {CONFIG_NAME}: it is neither a run nor a checkpoint; "
            f"{_given_instead(found, 'give a run folder, a checkpoint folder or a published .pt file')}."
        )
    return found, None


def _given_instead(folder: Path, otherwise: str) -> str:
    """What to give in place of a folder: the run that it is a part of, or the latest one in it."""
    for holder in folder.resolve().parents[:2]:  # `checkpoints` and what lies in it
        if (holder / CONFIG_NAME).is_file():
            return f"give its run, {holder}"
    with suppress(EnrError):
        return f"give a run in it, such as the latest, {latest_run(folder)}"
    return otherwise


def checkpoint_of(run: Run) -> Path:
    """The run's best checkpoint, or its last one where no validation has been run yet.

    Raises:
        EnrError: it has none.
    """
    for folder in (standing(run.best), standing(run.last)):
        if folder.is_dir():
            return folder
    raise EnrError(f"The run {run.folder} holds no checkpoint yet; wait for its training, or start a new one.")


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


def save_checkpoint(
    folder: Path, model: Renderer, metadata: CheckpointMetadata, state: Mapping[str, Any] | None = None
) -> None:
    """Replace the checkpoint in `folder`: an interruption leaves the old one or the new one, never a mixture.

    Args:
        folder: where it shall lie.
        model: the renderer.
        metadata: for `save_model`.
        state: the trainer's state; without it the checkpoint can be used, but not resumed.

    Raises:
        OSError: the disk is full or the like; the old checkpoint is as it was.
    """
    import torch

    from enr.model.checkpoint import save_model

    new, old = _beside(folder, ".new"), _beside(folder, ".old")
    shutil.rmtree(new, ignore_errors=True)
    try:
        save_model(new, model, metadata)
        if state is not None:
            content = io.BytesIO()  # what torch's own writer says of a full disk is no OSError
            torch.save(dict(state), content)
            with replacing(new / STATE_NAME) as partial:
                partial.write_bytes(content.getbuffer())
    except OSError:
        shutil.rmtree(new, ignore_errors=True)
        raise
    restore_interrupted(folder)
    if folder.exists():
        folder.replace(old)
    new.replace(folder)
    with suppress(OSError):  # the names are there; not every file system syncs folders
        sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def restore_interrupted(folder: Path) -> None:
    """Put the old checkpoint back where a replacement was cut off between its two renames."""
    old = _beside(folder, ".old")
    if old.exists() and not folder.exists():
        old.replace(folder)
    shutil.rmtree(old, ignore_errors=True)


def standing(checkpoint: Path) -> Path:
    """Where a checkpoint folder's content is: beside it, where its replacement was cut off between the two renames.

    It only looks, so that it may be asked while a training is running.
    """
    old = _beside(checkpoint, ".old")
    return old if old.is_dir() and not checkpoint.is_dir() else checkpoint


def load_state(folder: Path) -> dict[str, Any]:
    """The trainer's state in a checkpoint.

    Raises:
        EnrError: there is none, or it is not readable.
    """
    import torch

    restore_interrupted(folder)
    path = folder / STATE_NAME
    if not path.is_file():
        raise EnrError(
            f"{folder} holds no training to resume (no {STATE_NAME}); give the folder of another run, or start a new "
            "training."
        )
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # what reading junk as a pickle raises is not to be listed
        raise EnrError(f"{path} is not readable (truncated or of another kind); start a new training.") from error
    entries = state if isinstance(state, dict) else {}
    kinds = {**_STATE_ENTRIES, "rng": torch.Tensor}
    unfit = [name for name, kind in kinds.items() if not isinstance(entries.get(name), kind)]
    if unfit:
        raise EnrError(f"{path} is not the state of a training (no fitting {unfit[0]}); start a new training.")
    return state


def _beside(folder: Path, suffix: str) -> Path:
    """The hidden neighbour of a folder."""
    return folder.with_name(f".{folder.name}{suffix}")


def new_folder(folder: Path) -> Path:
    """Make `folder`, or the same name with -2, -3, ... where it exists; several processes may ask at once."""
    while True:
        candidate = _unused(folder)
        try:
            candidate.mkdir(parents=True)
        except FileExistsError:
            continue
        return candidate


def _unused(folder: Path) -> Path:
    """`folder`, or the same name with -2, -3, ... where it exists."""
    candidate, number = folder, 1
    while candidate.exists():
        number += 1
        candidate = folder.with_name(f"{folder.name}-{number}")
    return candidate
