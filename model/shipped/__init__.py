"""The models that come with enr, each a folder of this package in the layout of the Hub. Loads no torch."""

from __future__ import annotations

from pathlib import Path

from enr.errors import EnrError

FOLDER = Path(__file__).parent
SHIPPED = {"shapes": "enr reproduce shapes-64 --scale small"}
"""Names, and the command that trains each one."""

WEIGHTS_NAME = "model.safetensors"


def shipped_model(path: Path) -> Path | None:
    """The folder of the model that a name such as `shapes` stands for; None for every other path.

    A checkpoint of that name in the working directory comes first.

    Raises:
        EnrError: the name is that of such a model, and this copy of enr came without it.
    """
    name = str(path)
    if name not in SHIPPED or (path / WEIGHTS_NAME).is_file() or (path / "checkpoints").is_dir():
        return None
    if (FOLDER / name / WEIGHTS_NAME).is_file():
        return FOLDER / name
    raise EnrError(
        f"The model {name!r} is not in this copy of enr; install enr again, or make it: `{SHIPPED[name]}`, then "
        f"`enr pack RUN {FOLDER / name}`."
    )
