"""A viewer from what its user names: checkpoints, pictures, shards."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from enr.errors import EnrError
from enr.pipelines.machine import prepare_cpu
from enr.pipelines.rendering.novel_views import SHIPPED, default_checkpoint
from enr.pipelines.training.runs import CONFIG_NAME, RUNS, find_checkpoint, standing
from enr.pipelines.viewer.server import ViewerServer
from enr.pipelines.viewer.shelf import Offer, Shelf

MOST_RUNS = 12


def open_viewer(checkpoints: Sequence[Path], offer: Offer, address: tuple[str, int]) -> ViewerServer:
    """A server that is ready to serve.

    Args:
        checkpoints: runs, checkpoint folders or published `.pt` files; none: the latest run, those before it, and
            the model that comes with enr.
        offer: what is shown with them.
        address: host and port.

    Raises:
        EnrError: something of it cannot be used.
    """
    for checkpoint in checkpoints:  # the first is opened, the others when they are chosen
        find_checkpoint(checkpoint)
    prepare_cpu(1)  # Beside a browser a second thread made frames up to 70 times slower.
    return ViewerServer(address, Shelf(checkpoints or _runs(), offer))


def _runs() -> list[Path]:
    """The latest run, then others, newest first, and the model that comes with enr."""
    first = default_checkpoint()
    folders = sorted((path.parent for path in RUNS.glob(f"*/{CONFIG_NAME}")), reverse=True)
    others = [folder for folder in folders if folder != first and standing(folder / "checkpoints" / "last").is_dir()]
    shipped = []
    with suppress(EnrError):
        shipped = [path for path in (find_checkpoint(SHIPPED)[0],) if path != first]
    return [first, *others[: MOST_RUNS - 1], *shipped]


def show_page(url: str) -> bool:
    """Open the page in a browser; False where there is none, or no display for it."""
    has_display = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
    if sys.platform.startswith("linux") and not has_display:
        return False  # else a browser in text could take the terminal over
    return webbrowser.open(url)
