"""What `enr reproduce` is asked for and cannot do, found before anything is made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from enr.datagen.convert.layout import PARAMS, find_params
from enr.errors import EnrError
from enr.pipelines.config import find_key
from enr.pipelines.experiments.config import Experiment


def check_assignments(experiment: Experiment, assignments: Sequence[str]) -> None:
    """Refuse to set for all trainings what tells the variants apart.

    Args:
        experiment: at its scale.
        assignments: `key=value`, as `--set` takes them.

    Raises:
        EnrError: a variant sets that key itself, it is the seed, or there is no such key.
    """
    for assignment in assignments:
        key = assignment.partition("=")[0].strip()
        place = find_key(key)
        if place == find_key("seed"):
            raise EnrError(f"--set {assignment} would give every training the same seed; say how many with --seeds.")
        variants = [name for name, variant in experiment.variants.items() if place in map(find_key, variant.set)]
        if variants:
            raise EnrError(
                f"--set {assignment} would override what is compared: {', '.join(variants)} "
                f"{'sets' if len(variants) == 1 else 'set'} {key}; leave it out."
            )


def check_posed(folder: Path) -> None:
    """Refuse a folder without posed pictures.

    Raises:
        EnrError: it is none, or holds no `render_params.json`.
    """
    if not folder.is_dir():
        raise EnrError(f"--posed {folder} is not a folder; give the one that Apple's posed pictures are unpacked in.")
    if next(find_params(folder), None) is None:
        raise EnrError(
            f"--posed {folder} holds no {PARAMS}; give a folder with pictures and a {PARAMS} for each scene."
        )
