"""The pictures of a report: training views, cameras, predictions beside truths, and an object from all sides."""

from __future__ import annotations

import base64
import io
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from enr.camera import Array, orbit_angles, orbit_camera, target_from_source
from enr.errors import EnrError
from enr.model import Renderer
from enr.pipelines import metrics
from enr.pipelines.data.views import Indices, Scene, ViewSet, composite
from enr.pipelines.evaluation.equivariance import ANGLE_DEG, DISTANCE, Measures, motion_sizes
from enr.pipelines.evaluation.equivariance_report import join
from enr.pipelines.evaluation.report import PSNR
from enr.pipelines.pictures import Picture, contact_sheet, to_uint8
from enr.pipelines.rendering.novel_views import centre_of

BATCH_SIZE = 16
LOSSLESS_PX = 96
LARGEST_FRAME_PX = 192
SHEET_COLUMNS, SHEET_ROWS = 10, 4
SHEET_CELL_PX = 64
TOP_DEG = 75.0


@dataclass(frozen=True)
class Effort:
    """How much is rendered.

    Attributes:
        targets: shown beside their truths, of each scene.
        scenes: measured for PSNR by the size of the motion, where the evaluation does not hold it.
        results: groups and splits of which scenes are shown.
        turntables: objects that turn, of each run.
        azimuths, elevations_deg: views of an object that turns.
        seconds: where frames come slowly, so many are rendered as fit in about this time.
    """

    targets: int = 5
    scenes: int = 24
    results: int = 3
    turntables: int = 3
    azimuths: int = 24
    elevations_deg: tuple[float, ...] = (-30.0, 0.0, 20.0, 40.0, 60.0)
    seconds: float = 60.0


FULL = Effort()
QUICK = Effort(targets=4, scenes=0, results=1, turntables=1, elevations_deg=(20.0,), seconds=1.0)
"""At the end of a training or an evaluation."""


@dataclass(frozen=True)
class Shown:
    """A picture inside the page: its bytes as a data URI, what it shows in words, its size."""

    uri: str
    alt: str
    width_px: int
    height_px: int


@dataclass(frozen=True)
class Target:
    """A novel view: its number, the model's picture, the true one and their difference (white: none)."""

    view: int
    psnr_db: float
    turn_deg: float
    shift: float
    pictures: tuple[Shown, Shown, Shown]


@dataclass(frozen=True)
class Example:
    """A scene with some of its novel views.

    Attributes:
        place: number of the result that it belongs to, and its rank: best, median or worst.
        psnr_db: mean over all target views, as the evaluation says.
        sources: what the model was given.
    """

    place: tuple[int, str]
    scene_id: str
    psnr_db: float
    sources: tuple[Shown, ...]
    targets: tuple[Target, ...]


@dataclass(frozen=True)
class Turntable:
    """An object from all sides: one picture of `columns` azimuths times `rows` elevations.

    Attributes:
        rank: which example it is.
        azimuth_deg, elevation_deg: of the first frame; the elevations of the rows.
        first_row: the row that is shown first.
    """

    rank: str
    scene_id: str
    sheet: Shown
    azimuth_deg: float
    elevations_deg: tuple[float, ...]
    columns: int
    first_row: int
    source: Shown


def embed(picture: Picture | Image.Image, alt: str) -> Shown:
    """A picture as a data URI: lossless where its pixels can be seen, else small."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(np.ascontiguousarray(picture))
    buffer = io.BytesIO()
    if image.height <= LOSSLESS_PX:
        image.convert("RGB").save(buffer, format="WEBP", lossless=True, method=2)
    else:
        image.convert("RGB").save(buffer, format="WEBP", quality=90, method=2)
    return Shown(_uri(buffer.getvalue(), "webp"), alt, image.width, image.height)


def embed_gif(path: Path, alt: str) -> Shown:
    """A GIF as it is.

    Raises:
        EnrError: it cannot be read.
    """
    try:
        with Image.open(path, formats=["GIF"]) as image:
            width_px, height_px = image.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise EnrError(f"{path} cannot be read as a GIF; remove it, and the page goes without.") from error
    return Shown(_uri(path.read_bytes(), "gif"), alt, width_px, height_px)


def _uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def training_sheet(view_set: ViewSet) -> Shown | None:
    """Some of the views that are trained on; None where there is none."""
    views = _of_split(view_set, "train")
    if not len(views):
        return None
    chosen = views[np.linspace(0, len(views) - 1, min(SHEET_COLUMNS * SHEET_ROWS, len(views))).astype(int)]
    zoom = max(1, SHEET_CELL_PX // max(view_set.height_px, view_set.width_px))
    sheet = contact_sheet(view_set.images(chosen), view_set.background, min(SHEET_COLUMNS, len(chosen)), zoom)
    return embed(sheet, f"{len(chosen)} of the {len(views):,} views that the model was trained on, evenly spread")


def camera_tracks(view_set: ViewSet, split: str, most: int) -> Array:
    """Position and viewing direction (n, 2, 3) of some cameras of a split, in object units."""
    views = _of_split(view_set, split)
    chosen = views[np.linspace(0, len(views) - 1, min(most, len(views))).astype(int)] if len(views) else views
    cameras = view_set.views["world_from_camera"][chosen]
    return np.stack([cameras[:, :3, 3], cameras[:, :3, 2]], axis=1)


def _of_split(view_set: ViewSet, split: str) -> Indices:
    return np.flatnonzero(view_set.views["split"] == split)


@dataclass
class Studio:
    """A model and the data that it is shown on; counts how long frames take.

    Attributes:
        model: in eval mode.
        view_set: the shards.
        source_views: numbers of the views that it is given.
        known_distance: whether it is told the object's distance.
        effort: how much is rendered.
    """

    model: Renderer
    view_set: ViewSet
    source_views: tuple[int, ...] = (0,)
    known_distance: bool = False
    effort: Effort = FULL
    frames: int = 0
    seconds: float = 0.0

    @property
    def frame_ms(self) -> float:
        """Milliseconds a rendered frame, its scene's encoding included; NaN before the first."""
        return 1000 * self.seconds / self.frames if self.frames else math.nan

    def views_of(self, scene: Scene) -> tuple[Indices, Indices]:
        """Its input views and those of the others that show anything; no input views where it lacks one."""
        numbers = self.view_set.views["view_index"][scene.source_indices]
        given = scene.source_indices[np.isin(numbers, self.source_views)]
        if len(given) < len(self.source_views):
            return given[:0], given[:0]
        targets = np.setdiff1d(scene.view_indices, given)
        return given, targets[metrics.shows_something(self.view_set.images(targets))]

    @torch.inference_mode()
    def predict(self, given: Indices, targets: Indices) -> tuple[torch.Tensor, torch.Tensor]:
        """The model's pictures and the true ones, (n, 3, height, width) in [0, 1] each."""
        motions = torch.from_numpy(self.view_set.target_from_source(given, targets[:, None]))
        told = {"distance": torch.from_numpy(self.view_set.distances(given))} if self.known_distance else {}
        sources = self.pictures(given).to(next(self.model.parameters()).device)
        with self._timed(len(targets)):
            guesses = self.model.generate_from_sources(sources, motions, BATCH_SIZE, **told).cpu()
        return guesses, self.pictures(targets)

    def pictures(self, views: Indices) -> torch.Tensor:
        """True pictures over the background, rounded to 8 bits, (n, 3, height, width) in [0, 1]."""
        rgba = torch.from_numpy(self.view_set.images(views))
        return composite(rgba, self.view_set.background).mul(255).round().div(255)

    def measure(self, scenes: Sequence[Scene]) -> Measures | None:
        """PSNR of every target view of some scenes, and the size of the motion to it, as evaluations hold them."""
        found: list[Measures] = []
        for scene in scenes:
            given, targets = self.views_of(scene)
            if len(targets):
                guesses, truths = self.predict(given, targets)
                turn_deg, shift = self._motions(given, targets)
                psnr_db = metrics.psnr(guesses, truths).double().numpy()
                found.append({PSNR: psnr_db, ANGLE_DEG: turn_deg, DISTANCE: shift})
        return join(found) if found else None

    def _motions(self, given: Indices, targets: Indices) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        motions = self.view_set.target_from_source(given[0], targets)
        return motion_sizes(motions, float(self.view_set.distances(given[:1])[0]))

    def example(self, place: tuple[int, str], scene: Scene, psnr_db: float) -> Example | None:
        """A scene's input and some of its novel views; None where it has none."""
        given, targets = self.views_of(scene)
        if not len(targets):
            return None
        chosen = targets[np.linspace(0, len(targets) - 1, min(self.effort.targets, len(targets))).round().astype(int)]
        guesses, truths = self.predict(given, chosen)
        scores = metrics.psnr(guesses, truths).tolist()
        what = f"scene {scene.scene_id}"
        shown = []
        for number, (turn_deg, shift) in enumerate(zip(*self._motions(given, chosen), strict=True)):
            view = int(self.view_set.views["view_index"][chosen[number]])
            pictures = _triple(to_uint8(guesses[number]), to_uint8(truths[number]), f"view {view} of {what}")
            shown.append(Target(view, scores[number], float(turn_deg), float(shift), pictures))
        sources = tuple(embed(picture, f"input view of {what}") for picture in to_uint8(self.pictures(given[:2])))
        return Example(place, scene.scene_id, psnr_db, sources, tuple(shown))

    @torch.inference_mode()
    def turntable(self, rank: str, scene: Scene) -> Turntable | None:
        """An object from all sides, as the model knows it from its (first) input view alone."""
        given, _ = self.views_of(scene)
        if not len(given):
            return None
        camera = self.view_set.views["world_from_camera"][given[0]]
        azimuth_deg, elevation_deg, _ = orbit_angles(-camera[:3, 2])
        rows = self.effort.elevations_deg
        if len(rows) == 1:
            rows = (float(np.clip(elevation_deg, -TOP_DEG, TOP_DEG)),)
        image = self.pictures(given[:1])
        frames = self._turned(image, camera, float(azimuth_deg), rows)
        columns = len(frames) // len(rows)
        tall, wide = frames.shape[1:3]
        grid = frames.reshape(len(rows), columns, tall, wide, 3).swapaxes(1, 2).reshape(len(rows) * tall, -1, 3)
        sheet = embed(_shrunk(grid, tall, columns, len(rows)), f"scene {scene.scene_id} as the model sees it")
        first = int(np.abs(np.array(rows) - float(elevation_deg)).argmin())
        source = embed(to_uint8(image)[0], f"input view of scene {scene.scene_id}")
        return Turntable(rank, scene.scene_id, sheet, float(azimuth_deg), rows, columns, first, source)

    def _turned(
        self, image: torch.Tensor, camera: Array, azimuth_deg: float, rows: tuple[float, ...]
    ) -> NDArray[np.uint8]:
        """Frames (rows * columns, height, width, 3) around the object's centre, which stands in their middle."""
        model = self.model
        scene = model.inverse_render(image.to(next(model.parameters()).device))
        columns = self._columns(len(rows))
        azimuths = azimuth_deg + 360.0 * np.arange(columns) / columns
        around = orbit_camera(azimuths[None, :], np.array(rows)[:, None], model.config.radius).reshape(-1, 4, 4)
        motions = target_from_source(camera, around)
        ahead = np.array([0.0, 0.0, model.config.radius])
        motions[:, :3, 3] = ahead - motions[:, :3, :3] @ centre_of(scene, model)[0]
        frames, parts = [], model.apart(scene)
        for chunk in torch.from_numpy(motions).split(BATCH_SIZE):
            with self._timed(len(chunk)):
                frames.append(model.view(parts, chunk).clamp(0, 1).cpu())
        return to_uint8(torch.cat(frames))

    def _columns(self, rows: int) -> int:
        """As many azimuths as fit in the time, by how long frames took so far."""
        most = self.effort.azimuths
        if not self.frames:
            return most
        affordable = self.effort.seconds / (self.frame_ms / 1000) / (rows * self.effort.turntables)
        return int(min(most, max(8, affordable)))

    @contextmanager
    def _timed(self, frames: int) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.frames += frames
        self.seconds += time.perf_counter() - start


def _triple(guess: Picture, truth: Picture, what: str) -> tuple[Shown, Shown, Shown]:
    apart = np.abs(guess.astype(np.int16) - truth.astype(np.int16)).astype(np.uint8)
    return (
        embed(guess, f"prediction, {what}"),
        embed(truth, f"truth, {what}"),
        embed(255 - apart, f"difference of prediction and truth, {what}; white where there is none"),
    )


def _shrunk(grid: Picture, frame_px: int, columns: int, rows: int) -> Image.Image:
    """A sheet of frames that are no larger than the page shows them."""
    image = Image.fromarray(np.ascontiguousarray(grid))
    if frame_px <= LARGEST_FRAME_PX:
        return image
    width_px = round(LARGEST_FRAME_PX * image.width / columns / (image.height / rows))
    return image.resize((columns * width_px, rows * LARGEST_FRAME_PX), Image.Resampling.LANCZOS)


def ranks_of(count: int) -> list[tuple[str, int]]:
    """Best, median and worst of so many that are sorted from best to worst: the rank in words, and the place."""
    places = {count // 2: "median", count - 1: "worst", 0: "best"}
    return [(places[place], place) for place in sorted(places)]
