"""What a picture looks like beyond its size and lens: light, background, passes, engine. Knows no renderer."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from enr.checking import checked
from enr.datagen.appearance.lighting import HDRI_LIGHTING, LIGHTINGS, Lighting, LightingName
from enr.datagen.messages import Job, LightingMessage
from enr.errors import EnrError
from enr.shards import NormalsSpace
from enr.shards.config import LookConfig

Engine = Literal["cycles", "eevee", "workbench"]
Device = Literal["cpu", "cuda", "optix", "hip", "metal"]
PassName = Literal["depth", "normals", "mask"]
SURROUNDINGS = "surroundings"
"""The worker's pass of what is behind the object, which is put there and not stored."""


@dataclass(frozen=True)
class PictureFile:
    """A picture that the data set depends on, known by its content wherever it lies.

    Attributes:
        path: absolute.
        sha256: of the file's bytes.
    """

    path: str
    sha256: str

    @classmethod
    def open(cls, path: Path | str) -> PictureFile:
        """A picture file as it is now.

        Raises:
            EnrError: it cannot be read.
        """
        try:
            content = Path(path).read_bytes()
            return cls(str(Path(path).resolve()), hashlib.sha256(content).hexdigest())
        except OSError as error:
            raise EnrError(f"{path} cannot be read ({error.strerror or error}); give a picture file.") from error


@checked("look")
@dataclass(frozen=True)
class Look:
    """Light, background, passes and engine of all pictures.

    Attributes:
        lighting: the name of a light in `enr.datagen.appearance.lighting.LIGHTINGS`; of no effect beside `hdri`.
        hdri: an equirectangular picture of the surroundings that is the only light.
        hdri_background: whether the surroundings are also seen behind the object.
        backdrop: a picture that is put behind the object in every view.
        passes: what is stored beside the colour.
        normals_space: axes of the normals.
        engine: Blender's render engine.
        device: what Cycles computes on; other engines take what they find.
    """

    lighting: LightingName = "default"
    hdri: PictureFile | None = None
    hdri_background: bool = False
    backdrop: PictureFile | None = None
    passes: tuple[PassName, ...] = ()
    normals_space: NormalsSpace = "camera"
    engine: Engine = "cycles"
    device: Device = "cpu"

    @property
    def is_opaque(self) -> bool:
        """Whether the pictures are stored with something behind the object; their mask is then stored too."""
        return self.backdrop is not None or self.hdri_background

    @property
    def stored_passes(self) -> tuple[PassName, ...]:
        """The passes in the shards, each once."""
        wanted: tuple[PassName, ...] = (*self.passes, "mask") if self.is_opaque else self.passes
        return tuple(dict.fromkeys(wanted))

    @property
    def light(self) -> Lighting:
        """All light in the scene."""
        if self.hdri is None:
            return LIGHTINGS[self.lighting]
        return dataclasses.replace(HDRI_LIGHTING, hdri=self.hdri.path)

    def job(self) -> Job:
        """What a render job says of it (see `enr.datagen.jobs.render_job`)."""
        return {
            "lighting": cast(LightingMessage, dataclasses.asdict(self.light)),
            "surroundings": self.hdri_background,
            "passes": list(self.stored_passes),
            "normals_space": self.normals_space,
            "engine": self.engine,
            "device": self.device,
        }

    def config(self) -> LookConfig:
        """What a shard's config says of it: files by their content, since it does not matter where they lie."""
        config = dataclasses.asdict(self)
        for name in ("hdri", "backdrop"):
            config[name] = config[name] and config[name]["sha256"]
        return cast(LookConfig, {**config, "passes": list(self.passes)})


PLAIN = Look()
"""The light that shows every side, a transparent background, colour alone."""
