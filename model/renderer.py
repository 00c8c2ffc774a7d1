"""Equivariant neural rendering: pictures to scenes, scenes moved by camera motions, scenes to pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional

from enr.camera import VOLUME_FROM_CAMERA, check_rigid, orbit_camera, target_from_source
from enr.errors import EnrError
from enr.model.conditioning import PoseConditioning
from enr.model.config import RendererConfig, mirrored
from enr.model.detail import LiftDetail, Refine
from enr.model.fusion import fuse_scenes
from enr.model.layers import Pointwise, ResNet
from enr.model.projection import Composite, Fold, ProjectedScene, SceneParts
from enr.model.warp import Cube, Frustum, frustum_warp, resample_volume, rigid_warp, spherical_mask

HEAD_SCALE = 0.1
"""The linear head starts this much smaller than torch's default, so that a new model paints the background."""


class Renderer(nn.Module):
    """The paper's renderer (Dupont et al. 2020), with either warp, or conditioned on the pose instead.

    A scene is one tensor (b, *config.scene_shape): learned channels, then the packed detail level (if `detail_stride`),
    the source's colours (3, if `carry_colour`), and visibility (1, if the warp is `frustum`).
    All pictures are (b, 3, height, width) in [0, 1].

    Args:
        config: what it is made of; weights start random (torch's global generator).
    """

    mask: Tensor

    def __init__(self, config: RendererConfig) -> None:
        super().__init__()
        self.config = config
        self._build_inverse_renderer()
        self._build_renderer()
        self.conditioning = PoseConditioning(config) if config.warp == "conditioned" else None
        if config.spherical_mask:
            self.register_buffer("mask", spherical_mask(config.scene_shape[1]), persistent=False)
        if config.output == "linear":
            self._start_at_background()

    def _build_inverse_renderer(self) -> None:
        config = self.config
        self.inv_transform_2d = ResNet(2, 3, config.channels_2d, config.strides_2d)
        self.inv_projection = Pointwise(2, self.inv_transform_2d.out_channels, config.num_channels_inv_projection)
        self.inv_transform_3d = ResNet(3, config.lifted_shape[0], config.channels_3d, config.strides_3d)
        self.lift_detail = LiftDetail(self.inv_transform_2d.out_channels, config) if config.detail_stride else None

    def _build_renderer(self) -> None:
        config = self.config
        seen_channels = config.feature_channels + int(config.has_visibility)
        self.transform_3d = ResNet(3, seen_channels, *mirrored(config.channels_3d, config.strides_3d))
        projection = Fold if config.projection == "fold" else Composite
        self.projection = projection(self.transform_3d.out_channels, config)
        widths = mirrored(config.channels_2d, config.strides_2d)
        self.transform_2d = ResNet(2, self.projection.out_channels, *widths, out_channels=3)
        # The picture so far, both levels' opacity and the detail's own, its features.
        self.refine = Refine(3 + 2 + config.detail_channels) if config.detail_stride else None

    def _start_at_background(self) -> None:
        """Leave no room for the white collapse: a small linear head whose bias is the background."""
        head = self.transform_2d.layers[-1]
        assert isinstance(head, nn.Conv2d) and head.bias is not None
        with torch.no_grad():
            head.weight *= HEAD_SCALE
            # Carried colours are composited over the background already; the head only adds to them.
            head.bias.copy_(torch.zeros(3) if self.config.carry_colour else torch.tensor(self.config.background))

    def inverse_render(self, images: Tensor) -> Tensor:
        """The scene that each picture shows, in its own camera's frame.

        Args:
            images: (b, 3, height, width) in [0, 1].

        Returns:
            (b, *config.scene_shape).

        Raises:
            EnrError: the pictures are no tensor of floats, or have another shape than the config's.
        """
        return self._lift(images).join(self.config)

    def _lift(self, images: Tensor) -> SceneParts:
        self._check_images(images)
        coarse = self.inv_transform_2d(images)
        lifted = self.inv_projection(coarse)
        features = self.inv_transform_3d(lifted.unflatten(1, self.config.lifted_shape[:2]))
        if self.config.spherical_mask:
            features = features * self.mask
        cells = features.shape[2:]
        colour, visibility = None, None
        if self.config.carry_colour:
            colour = functional.adaptive_avg_pool2d(images, (cells[1], cells[2]))
            colour = colour[:, :, None].expand(-1, -1, cells[0], -1, -1).to(features)
        if self.config.has_visibility:
            visibility = features.new_ones(len(features), 1, *cells)
        detail = None if self.lift_detail is None else self.lift_detail(images, coarse)
        return SceneParts(features, detail, colour, visibility)

    def transform(self, scene: Tensor, target_from_source: Tensor) -> Tensor:
        """The scene as a camera has it that moved by `target_from_source`.

        Args:
            scene: (b, *config.scene_shape).
            target_from_source: (b, 4, 4) from source-camera to target-camera coordinates, in object units
                (`enr.camera.target_from_source`).

        Returns:
            (b, *config.scene_shape).

        Raises:
            EnrError: a matrix is not rigid, or the shapes do not fit.
        """
        self._check_scene(scene)
        return self._move(SceneParts.split(scene, self.config), target_from_source).join(self.config)

    def _move(self, parts: SceneParts, target_from_source: Tensor) -> SceneParts:
        motion = self._checked_motion(target_from_source, len(parts.features))
        if self.config.warp == "frustum":
            return self._move_levels(parts, motion)
        scene = parts.join(self.config)
        moved = self.conditioning(scene, motion) if self.conditioning else rigid_warp(scene, motion, self.cube)
        return SceneParts.split(moved, self.config)

    def _checked_motion(self, target_from_source: Tensor, count: int) -> Tensor:
        motion = torch.as_tensor(target_from_source)
        if motion.shape != (count, 4, 4):
            raise EnrError(
                f"target_from_source has shape {tuple(motion.shape)}; expected ({count}, 4, 4), one a scene."
            )
        if not motion.is_cuda or not self.training:  # on a GPU the check waits for the device: not at every step
            check_rigid(motion.detach().cpu().numpy())
        return motion.to(next(self.parameters()).device)

    def _move_levels(self, parts: SceneParts, motion: Tensor) -> SceneParts:
        """Both levels of the scene, each resampled in its own resolution."""
        coarse = frustum_warp(replace(parts, detail=None).join(self.config), motion, self.frustum)
        moved = SceneParts.split(coarse, self.config)
        if parts.detail is None:
            return moved
        return replace(moved, detail=frustum_warp(parts.detail, motion, self.frustum))

    def fuse(self, scenes: Tensor, target_from_sources: Tensor) -> Tensor:
        """Several scenes of one object, each moved into the frame of one target camera, as one scene.

        Args:
            scenes: (b, sources, *config.scene_shape).
            target_from_sources: (b, sources, 4, 4) from each source's camera to the target's.

        Returns:
            (b, *config.scene_shape): the mean weighted by what each source sees (`enr.model.fusion`); of one source,
            its `transform`.

        Raises:
            EnrError: a matrix is not rigid, or the shapes do not fit.
        """
        motion = torch.as_tensor(target_from_sources)
        if scenes.ndim != 6 or not scenes.shape[1] or motion.shape != (*scenes.shape[:2], 4, 4):
            raise EnrError(
                f"Scenes of shape {tuple(scenes.shape)} and target_from_sources of shape {tuple(motion.shape)} do not "
                "belong together; expected (batch, sources, channels, depth, height, width) and (batch, sources, 4, 4)."
            )
        sources, motion = scenes.flatten(0, 1), motion.flatten(0, 1)
        moved = self.transform(sources, motion)
        sight = self._moved_sight(sources, motion) if scenes.shape[1] > 1 else None
        shape = scenes.shape[:2]
        return fuse_scenes(
            moved.unflatten(0, shape), self.config.has_visibility, None if sight is None else sight.unflatten(0, shape)
        )

    def _moved_sight(self, scene: Tensor, motion: Tensor) -> Tensor | None:
        """What each source's camera has a line of sight to (n, 1, d, h, w), in the target's frame; None if unknown."""
        if not self.config.has_visibility or not isinstance(self.projection, Composite):
            return None
        parts = SceneParts.split(scene, self.config)
        return frustum_warp(self.projection.line_of_sight(self._volume(parts), parts), motion, self.frustum)

    def rotate(self, scene: Tensor, rotation_matrix: Tensor) -> Tensor:
        """The scene turned about the target point (published implementation).

        Args:
            scene: (b, *config.scene_shape).
            rotation_matrix: (b, 3, 3) in the volume's (depth, height, width) axes; the volume is resampled at its
                inverse.

        Returns:
            (b, *config.scene_shape).

        Raises:
            EnrError: a matrix is no rotation.
        """
        rotation = torch.as_tensor(rotation_matrix).to(torch.float64)
        if rotation.shape[1:] != (3, 3):
            raise EnrError(f"rotation_matrix has shape {tuple(rotation.shape)}; expected (batch, 3, 3).")
        axes = torch.as_tensor(VOLUME_FROM_CAMERA, device=rotation.device)
        turned = axes.T @ rotation @ axes
        centre = torch.tensor([0.0, 0.0, self.config.radius]).to(turned)
        motion = torch.eye(4).to(turned).repeat(len(turned), 1, 1)
        motion[:, :3, :3] = turned
        motion[:, :3, 3] = centre - turned @ centre
        if self.config.warp == "rigid":  # the same numbers, without the way through the camera's frame
            check_rigid(motion.cpu().numpy())
            self._check_scene(scene)
            return resample_volume(scene, rotation.transpose(1, 2), torch.zeros(len(rotation), 3))
        return self.transform(scene, motion)

    def rotate_source_to_target(
        self,
        scene: Tensor,
        azimuth_source_deg: ArrayLike,
        elevation_source_deg: ArrayLike,
        azimuth_target_deg: ArrayLike,
        elevation_target_deg: ArrayLike,
    ) -> Tensor:
        """The scene seen from one orbit camera, as another one at the same distance has it (published implementation).

        Args:
            scene: (b, *config.scene_shape).
            azimuth_source_deg: (b,) of the camera that saw the scene, in degrees; likewise the others.
            elevation_source_deg: (b,).
            azimuth_target_deg: (b,).
            elevation_target_deg: (b,).

        Returns:
            (b, *config.scene_shape).
        """
        source = orbit_camera(azimuth_source_deg, elevation_source_deg, self.config.radius)
        target = orbit_camera(azimuth_target_deg, elevation_target_deg, self.config.radius)
        return self.transform(scene, torch.as_tensor(target_from_source(source, target)))

    def project(self, scene: Tensor) -> ProjectedScene:
        """The scene's feature map, with opacity (b, 1, h, w), depth and colour where the projection has them."""
        self._check_scene(scene)
        return self._project(SceneParts.split(scene, self.config))

    def _project(self, parts: SceneParts) -> ProjectedScene:
        projected: ProjectedScene = self.projection(self._volume(parts), parts)
        return projected

    def _volume(self, parts: SceneParts) -> Tensor:
        """What the volume-side network makes of a scene."""
        volume = parts.features
        if parts.visibility is not None:
            volume = torch.cat([volume, parts.visibility], dim=1)
        transformed: Tensor = self.transform_3d(volume)
        return transformed

    def render(self, scene: Tensor) -> Tensor:
        """Pictures of scenes.

        Args:
            scene: (b, *config.scene_shape).

        Returns:
            (b, 3, height, width) in [0, 1]; in training the linear head may leave that range a little.
        """
        self._check_scene(scene)
        return self._paint(SceneParts.split(scene, self.config))

    def _paint(self, parts: SceneParts) -> Tensor:
        projected = self._project(parts)
        images = self.transform_2d(projected.features)
        if projected.colour is not None:
            images = images + functional.interpolate(
                projected.colour, size=images.shape[2:], mode="bilinear", align_corners=False
            )
        if self.refine is not None and projected.detail_maps is not None:
            maps = functional.interpolate(projected.detail_maps, size=images.shape[2:])
            images = self.refine(images, maps)
        if self.config.output == "sigmoid":
            return torch.sigmoid(images)
        return images if self.training else images.clamp(0, 1)

    def forward(self, images: Tensor, target_from_source: Tensor) -> Tensor:
        """Predict each picture's scene from a moved camera.

        The same as `inverse_render`, `transform` and `render` in turn, but quicker: the scene's parts stay apart.

        Args:
            images: (b, 3, height, width) in [0, 1].
            target_from_source: (b, 4, 4), see `transform`.

        Returns:
            (b, 3, height, width), see `render`.
        """
        return self._paint(self._move(self._lift(images), target_from_source))

    @torch.no_grad()
    def generate_novel_views(self, image: Tensor, target_from_source: Tensor, batch_size: int = 16) -> Tensor:
        """Many views of the object in one picture, which is encoded once.

        Args:
            image: (3, height, width) in [0, 1].
            target_from_source: (n, 4, 4) the motions from the picture's camera.
            batch_size: how many are rendered at a time.

        Returns:
            (n, 3, height, width) in [0, 1], clamped.
        """
        motions = torch.as_tensor(target_from_source)
        return self.generate_from_sources(image[None], motions[:, None], batch_size)

    @torch.no_grad()
    def generate_from_sources(self, images: Tensor, target_from_sources: Tensor, batch_size: int = 16) -> Tensor:
        """Many views of the object in several pictures, each of which is encoded once.

        Args:
            images: (sources, 3, height, width) in [0, 1].
            target_from_sources: (n, sources, 4, 4) the motions from each picture's camera to each wanted one.
            batch_size: how many are rendered at a time.

        Returns:
            (n, 3, height, width) in [0, 1], clamped.
        """
        scenes = self.inverse_render(images)
        chunks = torch.as_tensor(target_from_sources).split(batch_size)
        views = [self.render(self.fuse(scenes.expand(len(chunk), *scenes.shape), chunk)) for chunk in chunks]
        return torch.cat(views).clamp(0, 1)

    @property
    def cube(self) -> Cube:
        """Where the rigid volume stands."""
        return Cube(self.config.radius, self.config.half_side)

    @property
    def frustum(self) -> Frustum:
        """The lens and depth range of the frustum volume."""
        config = self.config
        _, height, width = config.image_shape
        return Frustum(config.focal_px, width, height, config.near, config.far, config.depth_spacing)

    def _check_images(self, images: object) -> None:
        """Refuse what torch would stumble over somewhere inside: arrays, 8-bit pictures, another precision or size."""
        weights = next(self.parameters())
        kind = images.dtype if isinstance(images, Tensor) else type(images).__name__
        is_float = isinstance(images, Tensor) and images.is_floating_point()
        if kind != weights.dtype and not (is_float and torch.is_autocast_enabled(weights.device.type)):
            raise EnrError(
                f"Pictures are given as {kind}; expected a tensor of {weights.dtype} in [0, 1]: divide 8-bit pictures "
                "by 255 and put the channels first."
            )
        assert isinstance(images, Tensor)
        if images.ndim != 4 or tuple(images.shape[1:]) != self.config.image_shape:
            raise EnrError(
                f"Pictures of shape {tuple(images.shape)} do not fit this renderer; "
                f"it expects (batch, {', '.join(map(str, self.config.image_shape))})."
            )

    def _check_scene(self, scene: Tensor) -> None:
        if scene.ndim != 5 or tuple(scene.shape[1:]) != self.config.scene_shape:
            raise EnrError(
                f"A scene of shape {tuple(scene.shape)} does not fit this renderer; "
                f"it expects (batch, {', '.join(map(str, self.config.scene_shape))})."
            )


def orbit_motions(source_deg: tuple[float, float], targets_deg: Sequence[tuple[float, float]], radius: float) -> Tensor:
    """Motions (n, 4, 4) float64 from one orbit camera to others, for `Renderer.generate_novel_views`.

    Args:
        source_deg: azimuth and elevation of the picture's camera, in degrees.
        targets_deg: azimuth and elevation of each wanted view.
        radius: distance of all of them from the target point, in object units.
    """
    azimuths, elevations = zip(*targets_deg, strict=True)
    source = orbit_camera(*source_deg, radius)
    return torch.as_tensor(target_from_source(source, orbit_camera(azimuths, elevations, radius)))
