"""WebDataset: tar files of samples, `<key>.png`, `<key>.json` and passes, written with the standard library."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from enr.datagen.export.layouts import ExportedViews
from enr.files import partial_of, publish
from enr.shards import FLAGS

TAR_BYTES = 256 * 2**20
"""A tar file is closed when it has grown to this."""
NUMBERS = ("azimuth_deg", "elevation_deg", "radius", "roll_deg", "clipped_share")


class TarWriter:
    """Writes `<out>/<series>-000000.tar` and so on, each complete or absent; to be used in a `with`.

    The bytes depend on the samples alone: no times, no owners.
    """

    def __init__(self, out: Path, series: str, tar_bytes: int = TAR_BYTES) -> None:
        self._out, self._series, self._tar_bytes = out, series, tar_bytes
        self._number = 0
        self._tar: tarfile.TarFile | None = None

    def __enter__(self) -> TarWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the last file; remove it if something went wrong."""
        if kind is None:
            self._finish()
        elif self._tar is not None:
            self._tar.close()
            partial_of(self._path).unlink(missing_ok=True)

    def add(self, scene: ExportedViews) -> None:
        """Append every view of a scene as a sample."""
        for row in range(len(scene)):
            key = f"{scene.name}-{scene.views['view_index'][row]:05d}"
            for suffix, content in _sample(scene, row).items():
                info = tarfile.TarInfo(f"{key}.{suffix}")
                info.size = len(content)
                self._open().addfile(info, io.BytesIO(content))
            if self._open().offset >= self._tar_bytes:
                self._finish()

    @property
    def _path(self) -> Path:
        return self._out / f"{self._series}-{self._number:06d}.tar"

    def _open(self) -> tarfile.TarFile:
        if self._tar is None:
            self._tar = tarfile.open(partial_of(self._path), "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
        return self._tar

    def _finish(self) -> None:
        if self._tar is None:
            return
        self._tar.close()
        publish(partial_of(self._path), self._path)
        self._tar, self._number = None, self._number + 1


def _sample(scene: ExportedViews, row: int) -> dict[str, bytes]:
    """The files of one view, by suffix."""
    files = {"png": _png(scene.images[row]), "json": json.dumps(_facts(scene, row)).encode()}
    for name, pictures in scene.passes.items():
        if pictures.dtype == np.bool_:
            files[f"{name}.png"] = _png(pictures[row].astype(np.uint8) * 255)
        else:
            stream = io.BytesIO()
            np.save(stream, pictures[row], allow_pickle=False)
            files[f"{name}.npy"] = stream.getvalue()
    return files


def _facts(scene: ExportedViews, row: int) -> dict[str, object]:
    """A view's camera and what else is known of it; null for what is not a number."""
    views = scene.views
    numbers = {name: float(views[name][row]) for name in NUMBERS}
    return {
        "scene_id": scene.scene_id,
        "view_index": int(views["view_index"][row]),
        "group": scene.meta.group,
        "split": str(views["split"][row]),
        "width_px": scene.size_px[0],
        "height_px": scene.size_px[1],
        "world_from_camera": views["world_from_camera"][row].tolist(),
        "K": views["K"][row].tolist(),
        **{name: value if np.isfinite(value) else None for name, value in numbers.items()},
        "target_point": [float(value) if np.isfinite(value) else None for value in views["target_point"][row]],
        "flags": [name for bit, name in enumerate(FLAGS) if int(views["flags"][row]) >> bit & 1],
        "background": list(scene.meta.background),
    }


def _png(pixels: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()
