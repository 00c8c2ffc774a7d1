"""What the viewer shows: one model, the pictures that it was given, and frames of them from any camera."""

from __future__ import annotations

import io
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from enr.errors import EnrError
from enr.model import Renderer
from enr.model.scene import AnyScene, PlacedScene
from enr.pipelines.pictures import to_uint8
from enr.pipelines.rendering.camera_paths import CameraStep, motions_around
from enr.pipelines.rendering.framing import Said, frame_picture
from enr.pipelines.rendering.input_views import InputView, ShardScenes
from enr.pipelines.rendering.maps import depth_pictures, opacity_pictures, scene_maps
from enr.pipelines.rendering.novel_views import centre_of, lift

Shown = Literal["picture", "depth", "opacity"]
MOST_UPLOADS = 32
MOST_LISTED = 200
LONGEST_KEY = 40
MOST_ENCODED = 64
"""So many scenes are held ready; a slider of distances passes many."""


@dataclass(frozen=True)
class FrameRequest:
    """What a page asks to see.

    Attributes:
        step: the camera, told from the picture's.
        distance: depth of the object's centre in object units; None: estimated.
        shown: the picture, or depth or opacity in its place.
    """

    step: CameraStep
    distance: float | None = None
    shown: Shown = "picture"

    def __post_init__(self) -> None:
        if self.shown not in get_args(Shown):
            raise EnrError(f"What is shown is {self.shown[:40]!r}; choose {', '.join(get_args(Shown))}.")


class Stage:
    """Encodes each picture once, and renders a frame at a time: several pages may ask at once.

    A picture's key is random for an upload, and `<scene>-<view>` for a view of the shards.

    Args:
        model: in evaluation mode.
        shards: whose scenes are shown, unseen scenes first; None for none.
    """

    def __init__(self, model: Renderer, shards: ShardScenes | None = None) -> None:
        self.model = model
        self.shards = shards
        self.uploads: dict[str, InputView] = {}
        self._scenes: OrderedDict[tuple[str, float | None], AnyScene] = OrderedDict()
        self._lock = threading.Lock()

    def replace_model(self, model: Renderer) -> None:
        """Go on with other weights of the same configuration."""
        with self._lock:
            self.model = model
            self._scenes.clear()

    def add_picture(self, name: str, picture: Path | bytes) -> str:
        """Take a picture and return its random key; the oldest of too many uploads goes.

        Raises:
            EnrError: see `frame_picture`.
        """
        stream = io.BytesIO(picture) if isinstance(picture, bytes) else picture
        try:
            framed = frame_picture(stream, self.model.config, Said(name=name))
        except EnrError as error:
            if isinstance(error.__cause__, UnidentifiedImageError):  # which names the bytes' place in memory
                raise EnrError(f"{name} is no picture; give a PNG or JPEG file.") from error
            raise
        key = secrets.token_urlsafe(8).replace("-", "_")
        with self._lock:
            while len(self.uploads) >= MOST_UPLOADS:
                oldest = next(iter(self.uploads))
                del self.uploads[oldest]
                for encoded in [encoded for encoded in self._scenes if encoded[0] == oldest]:
                    del self._scenes[encoded]
            self.uploads[key] = InputView(name, framed.image, framed.notes, zoom=framed.zoom)
        return key

    def listed(self) -> list[dict[str, object]]:
        """The pictures and scenes to choose from: key, name, and how many views there are."""
        with self._lock:
            uploads = list(self.uploads.items())
        entries: list[dict[str, object]] = [{"id": key, "name": given.name, "views": 1} for key, given in uploads]
        for number, scene in enumerate(self.shards.scenes[:MOST_LISTED] if self.shards else ()):
            name = f"{scene.split}: {scene.scene_id}"
            entries.append({"id": f"{number}-0", "name": name, "views": scene.count})
        return entries

    @torch.no_grad()
    def frame(self, key: str, look: FrameRequest) -> NDArray[np.uint8]:
        """The object seen from a camera: (height, width, 3), the picture that `enr render` makes.

        Raises:
            EnrError: no such picture, a distance that does not fit, or a model without depth.
        """
        with self._lock:
            given, scene = self._given(key), self._scene(key, look.distance)
            centre = centre_of(scene, self.model)
            motions = motions_around([look.step], centre, given.elevation_deg)
            motion = torch.as_tensor(motions)
            if look.shown == "picture":
                return to_uint8(self.model.view(scene, motion).clamp(0, 1).cpu())[0]
            maps = scene_maps(self.model, self.model.transform(scene, motion))
        if look.shown == "opacity":
            return opacity_pictures(maps.opacity)[0]
        return depth_pictures(maps.depth, (motions[:, 2, :3] * centre).sum(-1) + motions[:, 2, 3])[0]

    @torch.no_grad()
    def facts(self, key: str) -> dict[str, object]:
        """What the page says of a picture: its name, notes, and the distance as the model estimates it."""
        with self._lock:
            given, scene = self._given(key), self._scene(key, None)
        facts: dict[str, object] = {"id": key, "name": given.name, "notes": list(given.notes)}
        if isinstance(scene, PlacedScene):
            distance, uncertainty = (given.zoom * float(number[0]) for number in (scene.distance, scene.uncertainty))
            facts |= {"distance": distance, "uncertainty": uncertainty}
        return facts

    def nearest_truth(self, key: str, step: CameraStep) -> NDArray[np.uint8] | None:
        """The shard's own view that was taken from nearest to a camera, or None for a picture from elsewhere."""
        given = self._given(key)
        if given.world_from_camera is None or self.shards is None:
            return None
        return to_uint8(self.shards.nearest(int(key.split("-")[0]), given, step)[1])

    def source(self, key: str) -> NDArray[np.uint8]:
        """The picture as the model is given it, (height, width, 3)."""
        return to_uint8(self._given(key).image)

    def _given(self, key: str) -> InputView:
        if key in self.uploads:
            return self.uploads[key]
        scene, _, view = key.partition("-")
        is_number = scene.isdecimal() and view.isdecimal() and len(key) <= LONGEST_KEY
        if self.shards is None or not is_number or int(scene) >= len(self.shards.scenes):
            raise EnrError("This picture is no longer held by the viewer; choose another, or upload it again.")
        return self.shards.input_view(int(scene), int(view))

    def _scene(self, key: str, distance: float | None) -> AnyScene:
        if (key, distance) not in self._scenes:
            while len(self._scenes) >= MOST_ENCODED:
                self._scenes.popitem(last=False)
            self._scenes[key, distance] = lift(self.model, self._given(key), distance)
        self._scenes.move_to_end((key, distance))
        return self._scenes[key, distance]


def png(picture: NDArray[np.uint8]) -> bytes:
    """A picture as a PNG file's bytes, quickly."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()
