"""What a renderer is made of, as plain data, checked before anything is built."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from enr.camera import RADIUS
from enr.checking import Count, NotNegative, Positive, checked, validated
from enr.errors import EnrError

Warp = Literal["rigid", "frustum", "conditioned"]
Projection = Literal["fold", "composite"]
Output = Literal["sigmoid", "linear"]
DepthSpacing = Literal["linear", "disparity"]
DepthRange = Literal["fixed", "travelling"]

COLOUR_CHANNELS = 3
VISIBILITY_CHANNELS = 1
Channels = Annotated[int, Field(ge=COLOUR_CHANNELS, le=COLOUR_CHANNELS)]
Whole = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


@checked("loss")
@dataclass(frozen=True)
class LossWeights:
    """Weights of the loss's parts; the defaults are the published implementation's (Dupont et al. 2020).

    Attributes:
        l1: of the mean absolute difference.
        l2: of the mean squared difference.
        ssim: of 1 - SSIM (11 x 11 Gaussian window, sigma 1.5, data range 1).
        lpips: of LPIPS (`enr.model.lpips`).
        cycle: of `enr.model.losses.cycle_loss`.
        scene: of `enr.model.losses.scene_loss`.
        distance: of `enr.model.sighting.sighting_loss`; where the depth range travels alone.
    """

    l1: NotNegative = 1.0
    l2: NotNegative = 0.0
    ssim: NotNegative = 0.05
    lpips: NotNegative = 0.0
    cycle: NotNegative = 0.0
    scene: NotNegative = 0.0
    distance: NotNegative = 0.2

    def __post_init__(self) -> None:
        if max(self.l1, self.l2, self.ssim, self.lpips) <= 0:
            raise EnrError("loss.l1, loss.l2, loss.ssim and loss.lpips are all 0; one of them must be positive.")


@checked("model")
@dataclass(frozen=True, kw_only=True)
class RendererConfig:
    """The architecture (Dupont et al. 2020, and the published implementation's config) and its camera.

    Attributes:
        image_shape: (3, height, width) in pixels.
        channels_2d: widths of the picture-side network; each entry is a layer.
        strides_2d: 1 (residual block), 2 (halve) or -2 (double), one for each width.
        channels_3d: widths of the volume-side network; empty leaves it out.
        strides_3d: as `strides_2d`.
        num_channels_inv_projection: widths of the 1x1 convolutions that lift the map into a volume; the last one is
            split into (channels, depth).
        num_channels_projection: widths of the 1x1 convolutions that bring the volume back: of the volume folded into
            channels (`fold`), or of each cell before compositing (`composite`).
        warp: `rigid` moves a cube around the target point (the paper), `frustum` the camera's own frustum;
            `conditioned` moves nothing: a network is told the motion (the paper's comparison without equivariance).
        spherical_mask: zero the cells outside the cube's inscribed sphere (the paper; rotations only).
        projection: `fold` folds depth into channels (the paper), `composite` composites cells along the ray.
        carry_colour: the source's colours ride on their rays and are composited straight into the picture.
        detail_stride: a second level of the scene carries the source's own pixels at a predicted depth, in 1 / this
            of the picture's resolution; 0 leaves it out.
        detail_channels: learned features that it carries beside opacity and colour.
        learned_fusion: several sources are fused by weights that a network gives, to be trained with `sources` above 1.
        output: `linear` starts at the background's colour; `sigmoid` is the published head.
        conditioning_width: width of the layers that are told the motion; for `conditioned` alone.
        depth_cells: depth of the lifted volume; None takes the map's width, as the paper does.
        depth_spacing: whether the frustum's cells are equally spaced in depth or in its inverse.
        depth_range: whether all frustums reach from near to far (`fixed`), or each one to half_depth before and behind
            the object's centre, wherever that is (`travelling`).
        reaim: whether each picture is first seen by a camera at the same place that is aimed at the object's centre and
            zoomed until the object is as large as at `radius` (`enr.model.aiming`); where the range travels alone.
        sight_channels: widths of the network that estimates the distance from re-aimed pictures, each of which halves
            the map; empty: the picture-side network looks twice. Without re-aimed cameras that one's map is at hand.
        focal_px: focal length in pixels at `image_shape`.
        radius: distance of the target point from the camera, in object units.
        near: depth where the frustum begins, in object units; of the objects trained on where it travels.
        far: depth where it ends; likewise.
        half_depth: half the depth of a frustum that travels, in object units.
        background: colour behind the object, sRGB in [0, 1].

    Raises:
        EnrError: something does not fit; the message names the entry.
    """

    image_shape: tuple[Channels, Count, Count]
    channels_2d: tuple[int, ...]
    strides_2d: tuple[int, ...]
    channels_3d: tuple[int, ...]
    strides_3d: tuple[int, ...]
    num_channels_inv_projection: tuple[int, ...]
    num_channels_projection: tuple[int, ...]
    focal_px: Positive
    near: Positive
    far: Positive
    radius: Positive = RADIUS
    warp: Warp = "frustum"
    spherical_mask: bool = False
    projection: Projection = "composite"
    carry_colour: bool = False
    detail_stride: Whole = 0
    detail_channels: Whole = 0
    learned_fusion: bool = False
    output: Output = "linear"
    conditioning_width: Count = 512
    depth_cells: Count | None = None
    depth_spacing: DepthSpacing = "linear"
    depth_range: DepthRange = "fixed"
    reaim: bool = False
    sight_channels: tuple[int, ...] = ()
    half_depth: Positive = 0.6
    background: tuple[Share, Share, Share] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        if not self.near < self.far:
            raise EnrError(f"near {self.near} and far {self.far} are no depth range; expected 0 < near < far.")
        for dims in ("2d", "3d"):
            _check_network(dims, getattr(self, f"channels_{dims}"), getattr(self, f"strides_{dims}"))
        for name in ("num_channels_inv_projection", "num_channels_projection"):
            _check_widths(name, getattr(self, name))
        if self.sight_channels:
            _check_widths("sight_channels", self.sight_channels)
            _check_halvings("sight_channels", len(self.sight_channels), self.image_shape)
        _check_lift(self)
        _check_scene(self)

    @property
    def map_shape(self) -> tuple[int, int]:
        """(height, width) of the feature map between the picture-side network and the volume."""
        height, width = _walk_sizes("strides_2d", self.strides_2d, self.image_shape[1:])
        return height, width

    @property
    def lifted_shape(self) -> tuple[int, int, int, int]:
        """(channels, depth, height, width) of the volume as it is lifted from the map."""
        height, width = self.map_shape
        depth = self.depth_cells or width
        return self.num_channels_inv_projection[-1] // depth, depth, height, width

    @property
    def feature_channels(self) -> int:
        """Learned channels of the scene."""
        return self.channels_3d[-1] if self.channels_3d else self.lifted_shape[0]

    @property
    def detail_shape(self) -> tuple[int, int]:
        """(height, width) of the detail level's cells."""
        _, height, width = self.image_shape
        return height // self.detail_stride, width // self.detail_stride

    @property
    def detail_factor(self) -> int:
        """How many of the detail level's cells lie side by side in one of the coarse volume's."""
        return self.detail_shape[0] // self.map_shape[0]

    @property
    def packed_channels(self) -> int:
        """Channels of the scene that hold the detail level: opacity, colour and features of each of its cells."""
        if not self.detail_stride:
            return 0
        return (1 + COLOUR_CHANNELS + self.detail_channels) * self.detail_factor**2

    @property
    def has_visibility(self) -> bool:
        """Whether the scene's last channel says how much of each cell the source's frustum has seen."""
        return self.warp == "frustum"

    @property
    def has_travelling_range(self) -> bool:
        """Whether a scene is a tensor with its object's place (`enr.model.scene.PlacedScene`), not a tensor alone."""
        return self.depth_range == "travelling"

    @property
    def glance_channels(self) -> tuple[int, ...]:
        """Widths of the network that looks at pictures for the estimate of the distance alone; empty: there is none."""
        return self.sight_channels if self.reaim else ()

    @property
    def scene_shape(self) -> tuple[int, int, int, int]:
        """(channels, depth, height, width): learned, packed detail, colour (3), visibility (1) where they exist."""
        extra = self.packed_channels + COLOUR_CHANNELS * self.carry_colour + VISIBILITY_CHANNELS * self.has_visibility
        depth, height, width = _walk_sizes("strides_3d", self.strides_3d, self.lifted_shape[1:])
        return self.feature_channels + extra, depth, height, width

    @property
    def half_side(self) -> float:
        """Half the side of the rigid cube, in object units: at the target point it fills the picture's width."""
        return self.radius * self.image_shape[2] / 2 / self.focal_px

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON or YAML."""
        values = dataclasses.asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RendererConfig:
        """The config in `values`.

        Raises:
            EnrError: a key is unknown (with the nearest known one) or missing, or the values do not fit.
        """
        if not isinstance(values, Mapping):
            raise EnrError(f"The renderer's config is {values!r}; expected a table of names and values.")
        required = (field.name for field in dataclasses.fields(cls) if field.default is dataclasses.MISSING)
        missing = [name for name in required if name not in values]
        if missing and set(values) <= {field.name for field in dataclasses.fields(cls)}:
            raise EnrError(f"The renderer's config lacks {', '.join(missing)}; add them.")
        return validated(cls, values, "model")


def group_count(channels: int) -> int:
    """Groups of a GroupNorm over `channels`, as the published implementation has them."""
    for limit, groups in ((8, 1), (32, 2), (64, 4), (128, 8), (256, 16)):
        if channels < limit:
            return groups
    return 32


def mirrored(channels: Sequence[int], strides: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Widths and strides of the renderer's network from the inverse renderer's (its transpose).

    The published implementation keeps the first stride's sign; it is 1 in all its configs, where both agree.
    """
    widths = (*reversed(channels[:-1]), *channels[:1])
    return widths, tuple(stride if stride == 1 else -stride for stride in reversed(strides))


def _check_network(dims: str, channels: Sequence[int], strides: Sequence[int]) -> None:
    if len(channels) != len(strides):
        raise EnrError(
            f"channels_{dims} has {len(channels)} entries and strides_{dims} {len(strides)}; "
            "each layer needs one of both."
        )
    if dims == "2d" and not channels:
        raise EnrError("channels_2d is empty; the picture-side network needs at least one layer.")
    for index, stride in enumerate(strides):
        if stride not in (1, 2, -2):
            raise EnrError(
                f"strides_{dims}[{index}] is {stride}; "
                "a layer's stride is 1 (residual block), 2 (halve) or -2 (double)."
            )
    if channels:
        _check_widths(f"channels_{dims}", channels)


def _check_widths(name: str, widths: Sequence[int]) -> None:
    if not widths:
        raise EnrError(f"{name} is empty; at least one width is needed.")
    for index, width in enumerate(widths):
        groups = group_count(width)
        if width < 1 or width % groups:
            raise EnrError(
                f"{name}[{index}] is {width}; a layer of that width is normalised in groups ({groups}), "
                f"so choose a positive multiple of {groups}."
            )


def _check_halvings(name: str, count: int, image_shape: tuple[int, int, int]) -> None:
    _, height, width = image_shape
    if min(height, width) >> count < 1:
        raise EnrError(
            f"{name} has {count} entries, each of which halves the picture of {width}x{height} px; "
            f"give {min(height, width).bit_length() - 1} at most."
        )


def _walk_sizes(name: str, strides: Sequence[int], sizes: Sequence[int]) -> tuple[int, ...]:
    """Spatial sizes after the layers."""
    sizes = tuple(sizes)
    for index, stride in enumerate(strides):
        if stride == 2 and any(size % 2 for size in sizes):
            raise EnrError(
                f"{name}[{index}] halves a map of {' x '.join(map(str, sizes))}, which does not divide by 2; "
                "choose another image size or stride list."
            )
        sizes = tuple(size * 2 if stride == -2 else size // stride for size in sizes)
    return sizes


def _check_lift(config: RendererConfig) -> None:
    _, width = config.map_shape
    depth = config.depth_cells or width
    last = config.num_channels_inv_projection[-1]
    if last % depth:
        index = len(config.num_channels_inv_projection) - 1
        raise EnrError(
            f"num_channels_inv_projection[{index}] is {last}, which cannot be split into {depth} depths; "
            f"choose a multiple of {depth}."
        )


def _check_scene(config: RendererConfig) -> None:
    _, *lifted = config.lifted_shape
    _, *scene = config.scene_shape
    if config.warp == "rigid" and len(set(scene)) != 1:
        raise EnrError(
            f"The rigid warp moves a cube, but strides, image_shape and depth_cells give a scene of "
            f"{' x '.join(map(str, scene))} cells; make them equal or choose warp frustum."
        )
    if config.spherical_mask and config.warp != "rigid":
        raise EnrError(f"spherical_mask belongs to the rigid warp's cube; switch it off for warp {config.warp}.")
    if config.learned_fusion and config.warp != "frustum":
        raise EnrError(f"learned_fusion weighs what frustums see; switch it off for warp {config.warp}.")
    if config.depth_range == "travelling" and config.warp != "frustum":
        raise EnrError(f"A range that travels is a frustum's; choose depth_range fixed for warp {config.warp}.")
    if config.reaim and config.depth_range != "travelling":
        raise EnrError("reaim aims cameras at an object whose place is known; choose depth_range travelling.")
    if config.warp == "conditioned" and config.projection != "fold":
        raise EnrError("warp conditioned has no rays to composite along; choose projection fold.")
    if config.projection == "composite" and scene != lifted:
        raise EnrError(
            f"projection composite needs strides_3d that keep the volume's size, but {lifted} becomes {scene}; "
            "balance the strides or choose projection fold."
        )
    if config.carry_colour and (config.projection, config.warp) != ("composite", "frustum"):
        raise EnrError("carry_colour lays colours on rays; it needs warp frustum and projection composite.")
    _check_detail(config)


def _check_detail(config: RendererConfig) -> None:
    stride = config.detail_stride
    if not stride:
        return
    if not config.carry_colour:
        raise EnrError("detail_stride lays the source's pixels over carried colours; set carry_colour, too.")
    _, height, width = config.image_shape
    rows, columns = config.map_shape
    fits = height % (stride * rows) == width % (stride * columns) == 0
    if not fits or height // rows != width // columns:
        raise EnrError(
            f"detail_stride {stride} gives no whole number of cells in each of the volume's {rows} x {columns}; "
            f"choose a divisor of {height // rows}."
        )
