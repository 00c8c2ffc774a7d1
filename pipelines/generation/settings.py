"""From what is said of a data set (`DatagenConfig`, `ConvertConfig`) to the settings that `enr.datagen` works by."""

from __future__ import annotations

import math
from pathlib import Path

from PIL import ImageColor

from enr import camera
from enr.camera import Group
from enr.checking import options
from enr.compositing import WHITE
from enr.datagen.appearance.backdrop import read_backdrop
from enr.datagen.appearance.look import Look, PassName, PictureFile
from enr.datagen.cameras.hold_out import HoldOut
from enr.datagen.cameras.lens import LensJitter
from enr.datagen.cameras.pose_files import GivenCameras, group_of, read_cameras
from enr.datagen.cameras.samplers import SPIRAL_VIEWS
from enr.datagen.convert.conversion import ConvertSettings
from enr.datagen.settings import (
    BAD_FLAGS,
    GenerateSettings,
    OnBad,
    PoolSettings,
    PoseSettings,
    RenderSettings,
)
from enr.datagen.workers.installed_blender import find_blender
from enr.datagen.workers.pool import default_workers
from enr.errors import EnrError
from enr.pipelines.config.data_sets import ConvertConfig, DatagenConfig

VIEWS, SIZE_PX = GenerateSettings.views, (RenderSettings.width_px, RenderSettings.height_px)
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
SECONDS_A_MESH, SECONDS_A_VIEW, SECONDS_A_PATH = 120.0, 2.0, 2e-5
"""How long a worker may take for a mesh: at all, for each view, and for each path of a picture."""
NOT_WITH_POSES = (
    *("box", "elevation_deg", "azimuth_deg", "sphere"),
    *("look_at_jitter", "roll_deg", "hold_out_patches"),
)
NOT_WITH_GROUP: dict[Group | None, tuple[str, ...]] = {
    "trans": ("elevation_deg", "azimuth_deg", "sphere"),
    "rot": ("box",),
}


def generate_settings(config: DatagenConfig, command: str = "") -> GenerateSettings:
    """The settings of a data set that is rendered.

    Args:
        config: what is asked for.
        command: the command line, for the manifest.

    Raises:
        EnrError: entries contradict each other, or a file that they name cannot be read.
    """
    _check_combination(config)
    cameras = _given_cameras(config)
    size_px = config.resolution or (cameras and cameras.size_px) or SIZE_PX
    cameras = cameras and cameras.fitted(*size_px)
    views = _views(config, cameras)
    if config.mesh_timeout is None:
        paths = math.prod(size_px) * config.samples
        config = config.but(mesh_timeout=SECONDS_A_MESH + views * (SECONDS_A_VIEW + SECONDS_A_PATH * paths))
    total = sum(config.split)
    if min(config.split) < 0 or not total > 0:
        raise EnrError(f"--split got {config.split}; give three shares that are not negative, such as 86 12 2.")
    train, val, test = (share / total for share in config.split)
    return GenerateSettings(
        meshes=config.meshes,
        max_meshes=config.max_meshes,
        views=views,
        poses=_poses(config, cameras),
        render=_render(config, cameras, size_px),
        on_bad=OnBad(config.on_bad, config.bad or BAD_FLAGS),
        split_shares=(train, val, test),
        background=_colour(config.background),
        compression=config.compression,
        out=config.out,
        overwrite=config.overwrite,
        retry_failed=config.retry_failed or config.retry_bad,
        retry_bad=config.retry_bad,
        part=config.part,
        command=command,
        pool=_pool(config),
    )


def convert_settings(config: ConvertConfig) -> ConvertSettings:
    """The settings of a data set that is converted."""
    return ConvertSettings(**dict(config))


def _check_combination(config: DatagenConfig) -> None:
    """Refuse what excludes each other, and what was given but would change nothing."""
    again = [name for name in ("resume", "retry_failed", "retry_bad", "overwrite") if getattr(config, name)]
    if len(again) > 1:
        raise EnrError(f"{options(again, ' and ')} exclude each other; give one of them.")
    unheard = [name for name in ("resume", "retry_failed", "retry_bad", "scheduler") if getattr(config, name)]
    if config.dry_run and unheard:
        raise EnrError(
            f"--dry-run says what all of it would take on this machine, from the start; leave {options(unheard)} out."
        )
    if unheard := config.is_given(*NOT_WITH_GROUP.get(config.group, ())):
        raise EnrError(f"The group {config.group} cannot be combined with {', '.join(unheard)}; leave it out.")
    unheard = config.is_given("patch_size_deg", "hold_out_views")
    if unheard and not config.hold_out_patches:
        raise EnrError(f"{', '.join(unheard)} has no use without --hold-out-patches N; give it, too.")
    if config.bad and config.on_bad == "keep":
        raise EnrError(
            "--bad says which flags are bad, --on-bad keep does nothing about it; give --on-bad skip or fail."
        )


def _given_cameras(config: DatagenConfig) -> GivenCameras | None:
    """The cameras of the pose file, if there is one."""
    if config.poses is None:
        return None
    fields = type(config).model_fields
    unheard = [name for name in NOT_WITH_POSES if getattr(config, name) != fields[name].default]
    if unheard:
        raise EnrError(f"--poses says where the cameras stand; leave {options(unheard)} out.")
    cameras = read_cameras(config.poses, config.radius if config.is_given("radius") else None)
    if config.group == "rot" != group_of(cameras.world_from_camera):
        raise EnrError(
            f"--group rot does not go with {config.poses}, whose cameras do not all look at the origin from one "
            "distance; leave --group out."
        )
    return cameras


def _views(config: DatagenConfig, cameras: GivenCameras | None) -> int:
    """Pictures of each mesh, those that are held out included."""
    usual = SPIRAL_VIEWS if config.sphere == "spiral" else VIEWS
    views = config.views or (len(cameras) if cameras else usual)
    if cameras is not None and views > len(cameras):
        raise EnrError(f"--views got {views}, but {config.poses} has {len(cameras)} cameras; ask for fewer.")
    return views + config.hold_out_views if config.hold_out_patches else views


def _poses(config: DatagenConfig, cameras: GivenCameras | None) -> PoseSettings:
    x0, x1, y0, y1, z0, z1 = config.box
    held_out = (config.hold_out_patches, config.patch_size_deg, config.hold_out_views)
    return PoseSettings(
        group=config.group or (group_of(cameras.world_from_camera) if cameras else "rototrans"),
        radius=config.radius,
        box=((x0, x1), (y0, y1), (z0, z1)),
        elevation_deg=config.elevation_deg,
        azimuth_deg=config.azimuth_deg,
        sphere=config.sphere,
        rings_deg=config.rings_deg,
        look_at_jitter=config.look_at_jitter,
        roll_deg=config.roll_deg,
        hold_out=HoldOut(*held_out) if config.hold_out_patches else None,
        cameras=cameras,
    )


def _render(config: DatagenConfig, cameras: GivenCameras | None, size_px: tuple[int, int]) -> RenderSettings:
    return RenderSettings(
        width_px=size_px[0],
        height_px=size_px[1],
        focal_px=_focal_px(config, cameras, size_px[0]),
        lens_jitter=LensJitter(config.focal_jitter, config.centre_jitter_px),
        samples=config.samples,
        normalise=config.normalise,
        materials=config.materials,
        up_axis=config.up_axis,
        seed=config.seed,
        look=_look(config, size_px),
    )


def _focal_px(config: DatagenConfig, cameras: GivenCameras | None, width_px: int) -> float:
    """The focal length in pixels of pictures that are `width_px` wide."""
    given = [name for name in ("focal_px", "focal_mm", "fov_deg") if getattr(config, name) is not None]
    if len(given) > 1:
        raise EnrError(f"{options(given, ' and ')} say the same thing; give one of them.")
    if given and cameras is not None and cameras.brings_lens:
        raise EnrError(f"The pose file says which lens its cameras have; leave {options(given)} out.")
    if config.focal_mm is not None:
        focal = camera.focal_px_from_lens(width_px, config.focal_mm)
    elif config.fov_deg is not None:
        focal = camera.focal_px_from_fov(config.fov_deg, width_px)
    else:
        focal = config.focal_px or camera.focal_px_from_lens(width_px)
    if not (math.isfinite(focal) and focal > 0):
        raise EnrError(
            f"{options(given)} makes a focal length of {focal} px; give a lens such as --focal-px 88.9 for 64 px."
        )
    return focal


def _look(config: DatagenConfig, size_px: tuple[int, int]) -> Look:
    """Light, background, passes and engine of all pictures."""
    if config.hdri_background and not config.hdri:
        raise EnrError("--hdri-background needs the picture; give --hdri FILE too.")
    if config.hdri and config.lighting != "default":
        raise EnrError(f"--hdri is the only light where it is given; leave --lighting {config.lighting} out.")
    backdrop = PictureFile.open(config.background) if _is_picture(config.background) else None
    if backdrop and config.hdri_background:
        raise EnrError("--background and --hdri-background both stand behind the object; give one of them.")
    if backdrop:
        read_backdrop(backdrop, *size_px)  # once, to be sure
    passes: dict[PassName, bool] = {"depth": config.depth, "normals": bool(config.normals), "mask": config.mask}
    return Look(
        lighting=config.lighting,
        hdri=PictureFile.open(config.hdri) if config.hdri else None,
        hdri_background=config.hdri_background,
        backdrop=backdrop,
        passes=tuple(name for name, is_wanted in passes.items() if is_wanted),
        normals_space=config.normals or "camera",
        engine=config.engine,
        device=config.device,
    )


def _is_picture(background: str) -> bool:
    return Path(background).suffix.lower() in PICTURE_SUFFIXES


def _colour(text: str) -> tuple[float, float, float]:
    """The sRGB numbers in [0, 1] of a colour name, #RRGGBB, or three numbers; white where no colour is named."""
    if text == "transparent" or _is_picture(text):
        return WHITE
    try:
        if "," in text and "(" not in text:
            red, green, blue = (float(part) for part in text.split(","))
        else:
            red, green, blue = (value / 255 for value in ImageColor.getrgb(text)[:3])
    except ValueError:
        red = -1.0
    if red < 0 or not all(0 <= value <= 1 for value in (red, green, blue)):
        raise EnrError(
            f"--background got {text!r}; give a colour name, #RRGGBB, R,G,B between 0 and 1, "
            "transparent, or a picture file."
        )
    return red, green, blue


def _pool(config: DatagenConfig) -> PoolSettings:
    """The workers' settings; of no consequence for the pictures."""
    on_cpu = config.device == "cpu" or config.engine != "cycles"
    if config.workers and not on_cpu and not config.scheduler:
        raise EnrError(
            f"--workers counts processes on the CPU; with --device {config.device} each graphics card has one: "
            "leave --workers out, or give --workers-per-device."
        )
    if config.workers_per_device and on_cpu:
        raise EnrError("--workers-per-device is for --device cuda, optix, hip or metal; on the CPU give --workers.")
    assert config.mesh_timeout is not None
    return PoolSettings(
        workers=config.workers or default_workers(),
        workers_per_device=config.workers_per_device or 1,
        mesh_timeout_s=config.mesh_timeout,
        mesh_memory_mb=config.mesh_memory,
        blender=find_blender(config.blender) if config.blender else None,
    )
