"""What the viewer shows: one model, the pictures that it was given, and frames of them from any camera."""

from __future__ import annotations

import io
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from enr.camera import invert_rigid
from enr.errors import EnrError
from enr.model import Renderer
from enr.model.scene import AnyScene, PlacedScene
from enr.pipelines.data.views import ViewSet, composite
from enr.pipelines.pictures import to_uint8
from enr.pipelines.rendering.camera_paths import CameraStep, motions_around
from enr.pipelines.rendering.framing import frame_picture
from enr.pipelines.rendering.novel_views import centre_of

MOST_UPLOADS = 32
MOST_SHARD_SCENES = 24


@dataclass(frozen=True)
class Subject:
    """A picture that the model knows an object from.

    Attributes:
        name: what the page calls it.
        image: (3, height, width) in [0, 1], as the model is given it.
        notes: what was assumed of it.
        source_elevation_deg: how far above the object's horizon it was taken.
        view: its number in the shards, where it comes from one.
    """

    name: str
    image: torch.Tensor
    notes: tuple[str, ...] = ()
    source_elevation_deg: float = 0.0
    view: int | None = None


class Stage:
    """Encodes each picture once, and renders a frame at a time: several pages may ask at once.

    Args:
        model: in evaluation mode.
        view_set: shards whose scenes are shown, test scenes first; None for none.
    """

    def __init__(self, model: Renderer, view_set: ViewSet | None = None) -> None:
        self.model = model
        self.subjects: dict[str, Subject] = {}
        self._view_set = view_set
        self._scenes: dict[tuple[str, float | None], AnyScene] = {}
        self._lock = threading.Lock()
        if view_set is not None:
            self._add_scenes(view_set)

    def _add_scenes(self, view_set: ViewSet) -> None:
        order = ("test", "val", "train")
        scenes = sorted(view_set.all_scenes, key=lambda scene: order.index(scene.split))
        for scene in scenes[:MOST_SHARD_SCENES]:
            view = int(scene.view_indices[0])
            elevation_deg = float(np.nan_to_num(view_set.views["elevation_deg"][view]))
            name = f"{scene.scene_id} ({scene.split})"
            self._add(Subject(name, self._true_images([view])[0], (), elevation_deg, view))

    def add_picture(self, name: str, picture: Path | bytes) -> str:
        """Take a picture and return its random id; the oldest of too many uploads goes.

        Raises:
            EnrError: see `frame_picture`.
        """
        framed = frame_picture(
            io.BytesIO(picture) if isinstance(picture, bytes) else picture, self.model.config, name=name
        )
        return self._add(Subject(name, framed.image, framed.notes))

    def _add(self, subject: Subject) -> str:
        key = secrets.token_urlsafe(8)
        with self._lock:
            uploads = [old for old, other in self.subjects.items() if other.view is None]
            if subject.view is None and len(uploads) >= MOST_UPLOADS:
                self._forget(uploads[0])
            self.subjects[key] = subject
        return key

    def _forget(self, key: str) -> None:
        del self.subjects[key]
        for old in [place for place in self._scenes if place[0] == key]:
            del self._scenes[old]

    @torch.no_grad()
    def frame(self, key: str, step: CameraStep, distance: float | None = None) -> NDArray[np.uint8]:
        """The object seen from a camera: (height, width, 3), the picture that `enr render` makes.

        Args:
            key: of the subject.
            step: the camera, told from the picture's.
            distance: depth of the object's centre in object units; None: estimated.

        Raises:
            EnrError: no such subject, or a distance that does not fit.
        """
        with self._lock:
            scene = self._scene(key, distance)
            centre, elevation_deg = centre_of(scene, self.model), self.subjects[key].source_elevation_deg
            motion = torch.as_tensor(motions_around([step], centre, elevation_deg))
            return to_uint8(self.model.render(self.model.transform(scene, motion)).clamp(0, 1).cpu())[0]

    @torch.no_grad()
    def facts(self, key: str) -> dict[str, object]:
        """What the page says of a subject: its name, notes, and the distance as the model estimates it."""
        with self._lock:
            scene = self._scene(key, None)
        subject = self.subjects[key]
        facts: dict[str, object] = {"id": key, "name": subject.name, "notes": list(subject.notes)}
        if isinstance(scene, PlacedScene):
            facts |= {"distance": float(scene.distance[0]), "uncertainty": float(scene.uncertainty[0])}
        return facts

    def nearest_truth(self, key: str, step: CameraStep) -> NDArray[np.uint8] | None:
        """The shard's own view that was taken from nearest to a camera, or None for a picture from elsewhere."""
        subject = self._subject(key)
        if subject.view is None or self._view_set is None:
            return None
        views = self._view_set.views
        cameras = views["world_from_camera"]
        same = np.flatnonzero(views["scene"] == views["scene"][subject.view])
        centre = invert_rigid(cameras[subject.view])[:3, 3]  # the object's centre is the world's origin
        motion = motions_around([step], centre, subject.source_elevation_deg)[0]
        wanted = cameras[subject.view] @ invert_rigid(motion)
        apart = np.linalg.norm(cameras[same, :3, 3] - wanted[:3, 3], axis=1)
        return to_uint8(self._true_images([int(same[apart.argmin()])]))[0]

    def source(self, key: str) -> NDArray[np.uint8]:
        """The subject's picture, (height, width, 3)."""
        return to_uint8(self._subject(key).image)

    def _true_images(self, numbers: list[int]) -> torch.Tensor:
        assert self._view_set is not None
        return composite(torch.from_numpy(self._view_set.images(numbers)), self._view_set.background)

    def _subject(self, key: str) -> Subject:
        if key not in self.subjects:
            raise EnrError("This picture is no longer held by the viewer; choose another, or upload it again.")
        return self.subjects[key]

    def _scene(self, key: str, distance: float | None) -> AnyScene:
        subject = self._subject(key)
        if (key, distance) not in self._scenes:
            if distance is not None:
                # One scene a picture for a distance by hand: a slider passes many.
                self._scenes = {place: scene for place, scene in self._scenes.items() if place[1] is None}
            image = subject.image.to(next(self.model.parameters()).device)
            self._scenes[key, distance] = self.model.inverse_render(image[None], distance)
        return self._scenes[key, distance]


def png(picture: NDArray[np.uint8]) -> bytes:
    """A picture as a PNG file's bytes, quickly."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()
