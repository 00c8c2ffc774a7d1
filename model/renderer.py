"""Equivariant neural rendering: pictures to scenes, scenes moved by camera motions, scenes to pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from enr.model import checks
from enr.model.aiming import see_aimed, see_real
from enr.model.conditioning import PoseConditioning
from enr.model.config import RendererConfig, mirrored
from enr.model.detail import LiftDetail, Refine, enlarge
from enr.model.forward_pass import ForwardPass
from enr.model.fusion import LearnedFusion, fuse_scenes
from enr.model.layers import Pointwise, ResNet, start_at
from enr.model.placing import Depths, check_one_place, locate, passage, place
from enr.model.projection import Composite, Fold, ProjectedScene, SceneParts
from enr.model.published import PublishedTurns
from enr.model.scene import AnyScene, PlacedScene, join_centres, move_points, standing_frustum
from enr.model.sighting import Sight, Sighting
from enr.model.warp import Cube, Frustum, rigid_warp, spherical_mask


class Renderer(PublishedTurns, nn.Module):
    """The paper's renderer (Dupont et al. 2020), with either warp, or conditioned on the pose instead.

    A scene is one tensor (b, *config.scene_shape): learned channels, then the packed detail level (if `detail_stride`),
    the source's colours (3, if `carry_colour`), and visibility (1, if the warp is `frustum`). Where the depth range
    travels with the object it is a `PlacedScene`: that tensor and the object's place.
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
        self.fusion = LearnedFusion(config) if config.learned_fusion else None
        self.conditioning = PoseConditioning(config) if config.warp == "conditioned" else None
        if config.spherical_mask:
            self.register_buffer("mask", spherical_mask(config.scene_shape[1]), persistent=False)
        if config.output == "linear":
            # Carried colours are composited over the background already; the head only adds to them.
            start_at(self.transform_2d.layers[-1], (0.0, 0.0, 0.0) if config.carry_colour else config.background)

    def _build_inverse_renderer(self) -> None:
        config = self.config
        self.inv_transform_2d = ResNet(2, 3, config.channels_2d, config.strides_2d)
        self.inv_projection = Pointwise(2, self.inv_transform_2d.out_channels, config.num_channels_inv_projection)
        self.inv_transform_3d = ResNet(3, config.lifted_shape[0], config.channels_3d, config.strides_3d)
        self.lift_detail = LiftDetail(self.inv_transform_2d.out_channels, config) if config.detail_stride else None
        self.sight = Sight(self.inv_transform_2d.out_channels, config) if config.has_travelling_range else None

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

    def inverse_render(self, images: Tensor, distance: Tensor | float | None = None) -> AnyScene:
        """The scene that each picture shows, in its own camera's frame.

        Args:
            images: (b, 3, height, width) in [0, 1].
            distance: depth of the object's centre along the camera's axis, in object units: one number, or (b,); None:
                estimated. For a depth range that travels alone.

        Returns:
            (b, *config.scene_shape).

        Raises:
            EnrError: the pictures are no floats of the config's shape, or the renderer was trained on no such distance.
        """
        known = None if distance is None else checks.checked_distance(distance, images, self.config)
        return self.look(images, known)[0]

    def look(self, images: Tensor, distance: Tensor | None = None) -> tuple[AnyScene, Sighting | None]:
        """As `inverse_render`, and what the pictures themselves tell of the distance.

        Args:
            images: (b, 3, height, width) in [0, 1].
            distance: (b,), NaN where it is to be estimated; not checked.
        """
        parts, sighting = self._lift(images, distance)
        return parts.scene(self.config), sighting

    def _lift(self, images: Tensor, distance: Tensor | Depths | None = None) -> tuple[SceneParts, Sighting | None]:
        checks.check_images(images, next(self.parameters()), self.config)
        coarse, sighting = self._look(images)
        centre, uncertainty, within = None, None, None
        if self.sight is not None and sighting is not None:
            centre, uncertainty, told = place(sighting, distance, self.config)
            if self.config.reaim:
                images, within, coarse = self._look_at(images, centre)
            coarse = self.sight.tell(coarse, centre, told)
        return replace(self._lift_map(images, coarse, within), centre=centre, uncertainty=uncertainty), sighting

    def _look(self, images: Tensor) -> tuple[Tensor, Sighting | None]:
        """The map of each picture, and what it tells of its object; with re-aimed cameras, that of the object's box."""
        if self.sight is None or not self.config.reaim:
            coarse = self.inv_transform_2d(images)
            return coarse, None if self.sight is None else self.sight(images, coarse)
        box, glance = self.sight.box_centre(self.sight.boxes(images)), self.sight.glance
        seen = None if glance is None else glance(torch.cat(see_aimed(images, box, self.config), dim=1))
        coarse = self._look_at(images, box)[2] if seen is None else seen
        return coarse, self.sight(images, coarse)

    def _look_at(self, images: Tensor, centre: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures of cameras aimed at points (b, 3), what of them the real pictures show, and their maps."""
        assert self.sight is not None
        aimed, within = see_aimed(images, centre, self.config)
        return aimed, within, self.sight.tell_border(self.inv_transform_2d(aimed), within)

    def _lift_map(self, images: Tensor, coarse: Tensor, within: Tensor | None) -> SceneParts:
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
        parts = SceneParts(features, detail, colour, visibility)
        return parts if within is None else parts.shown(within)

    def transform(self, scene: AnyScene, target_from_source: Tensor) -> AnyScene:
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
        checks.check_scene(scene, self.config)
        return self._move(SceneParts.split(scene, self.config), target_from_source).scene(self.config)

    def _move(self, parts: SceneParts, target_from_source: Tensor, centre: Tensor | None = None) -> SceneParts:
        """Moved parts (of one scene by any motions), around the target frame's centres (b, 3); None: their own."""
        motion = checks.checked_motion(target_from_source, len(parts.features), self._device, skip_on_gpu=self.training)
        if self.config.warp == "frustum":
            return self._move_levels(parts, motion, centre)
        scene = parts.join(self.config)
        if self.conditioning:
            moved = self.conditioning(scene.expand(len(motion), -1, -1, -1, -1), motion)
        else:
            moved = rigid_warp(scene, motion, Cube(self.config.radius, self.config.half_side))
        return SceneParts.split(moved, self.config)

    def _move_levels(self, parts: SceneParts, motion: Tensor, centre: Tensor | None) -> SceneParts:
        """Both levels of the scene, each resampled in its own resolution."""
        if parts.centre is not None and centre is None:
            centre = move_points(parts.centre, motion)
        way = passage(motion, parts.centre, centre, self.frustum, self.config)
        moved = SceneParts.split(way.carry(replace(parts, detail=None).join(self.config)), self.config)
        detail = None if parts.detail is None else way.carry(parts.detail)
        uncertainty = None if parts.uncertainty is None else parts.uncertainty.expand(len(motion))
        return replace(moved, detail=detail, centre=centre, uncertainty=uncertainty)

    def apart(self, scene: AnyScene) -> SceneParts:
        """A scene (b, *config.scene_shape) as `view` takes it for many frames: taken apart once.

        Raises:
            EnrError: the shape does not fit.
        """
        checks.check_scene(scene, self.config)
        return SceneParts.split(scene, self.config)

    def view(self, scene: AnyScene | SceneParts, target_from_source: Tensor) -> Tensor:
        """Pictures of scenes from cameras that moved: `transform` and `render`, but quicker.

        Args:
            scene: (b, *config.scene_shape), or what `apart` made of it; one scene goes with any number of motions.
            target_from_source: (n, 4, 4), see `transform`; n is b, or any number where b is 1.

        Returns:
            (n, 3, height, width), see `render`.

        Raises:
            EnrError: see `transform`.
        """
        parts = scene if isinstance(scene, SceneParts) else self.apart(scene)
        return self._paint(self._move(parts, target_from_source))

    def fuse(self, scenes: AnyScene, target_from_sources: Tensor) -> AnyScene:
        """Several scenes of one object, each moved into the frame of one target camera, as one scene.

        Args:
            scenes: (b, sources, *config.scene_shape).
            target_from_sources: (b, sources, 4, 4) from each source's camera to the target's.

        Returns:
            (b, *config.scene_shape): the mean weighted by what each source sees, or by learned weights
            (`enr.model.fusion`); of one source, its `transform`.

        Raises:
            EnrError: a matrix is not rigid, or the shapes do not fit.
        """
        motion = checks.as_numbers(target_from_sources, "target_from_sources", "motions (batch, sources, 4, 4)")
        checks.check_sources(scenes, motion)
        shape = scenes.shape[:2]
        sources, motions = scenes.flatten(0, 1), motion.flatten(0, 1)
        checks.check_scene(sources, self.config)
        centre = join_centres(scenes, motion) if isinstance(scenes, PlacedScene) else None
        placed = None if centre is None else centre.repeat_interleave(shape[1], dim=0)
        moved = self._move(SceneParts.split(sources, self.config), motions, placed)
        sight = self._moved_sight(sources, motions, placed) if shape[1] > 1 else None
        sight = None if sight is None else sight.unflatten(0, shape)
        together = self.fusion or partial(fuse_scenes, has_visibility=self.config.has_visibility)
        fused = together(moved.join(self.config).unflatten(0, shape), sight=sight)
        if centre is None or not isinstance(scenes, PlacedScene):
            return fused
        return PlacedScene(fused, centre, scenes.uncertainty.amin(1))

    def _moved_sight(self, scene: AnyScene, motion: Tensor, centre: Tensor | None = None) -> Tensor | None:
        """What each source's camera has a line of sight to (n, 1, d, h, w), in the target's frame; None if unknown."""
        if not self.config.has_visibility or not isinstance(self.projection, Composite):
            return None
        parts = SceneParts.split(scene, self.config)
        sight = self.projection.line_of_sight(self._volume(parts), parts)
        return passage(motion.to(self._device), parts.centre, centre, self.frustum, self.config).carry(sight)

    def locate(self, images: Tensor, target_from_sources: Tensor) -> Depths:
        """The distance of one object in each of several pictures (s,) with relative poses, triangulated.

        Args:
            images: (s, 3, height, width) in [0, 1]; those that show nothing do not count.
            target_from_sources: (s, 4, 4) motions from each picture's camera to one common frame.

        Raises:
            EnrError: the pictures contradict the poses, or these are in other units.
        """
        checks.check_images(images, next(self.parameters()), self.config)
        motion = checks.checked_motion(target_from_sources, len(images), self._device, skip_on_gpu=False)
        sighting = self._look(images)[1]
        assert sighting is not None, "the range travels"
        return locate(sighting, motion, self.config)

    def project(self, scene: AnyScene) -> ProjectedScene:
        """The scene's feature map, with opacity (b, 1, h, w), depth and colour where the projection has them."""
        checks.check_scene(scene, self.config)
        parts = SceneParts.split(scene, self.config)
        projected: ProjectedScene = self.projection(self._volume(parts), parts)
        return projected

    def _volume(self, parts: SceneParts) -> Tensor:
        """What the volume-side network makes of a scene."""
        volume = parts.features if parts.visibility is None else torch.cat([parts.features, parts.visibility], dim=1)
        transformed: Tensor = self.transform_3d(volume)
        return transformed

    def render(self, scene: AnyScene) -> Tensor:
        """Pictures of scenes.

        Args:
            scene: (b, *config.scene_shape).

        Returns:
            (b, 3, height, width) in [0, 1]; in training the linear head may leave that range a little.
        """
        checks.check_scene(scene, self.config)
        return self._paint(SceneParts.split(scene, self.config))

    def _paint(self, parts: SceneParts) -> Tensor:
        projected: ProjectedScene = self.projection(self._volume(parts), parts)
        images = self.transform_2d(projected.features)
        if projected.colour is not None:
            images = images + enlarge(projected.colour, images.shape[2:])
        if self.refine is not None and projected.detail_maps is not None:
            maps = functional.interpolate(projected.detail_maps, size=images.shape[2:])
            images = self.refine(images, maps)
        if self.config.output == "sigmoid":
            images = torch.sigmoid(images)
        if self.config.reaim and parts.centre is not None:
            images = see_real(images, parts.centre, self.config)
        return images if self.training else images.clamp(0, 1)

    def forward(self, images: Tensor, target_from_source: Tensor) -> Tensor:
        """Predict each picture's scene from a moved camera; quicker than `inverse_render`, `transform` and `render`.

        Args:
            images: (b, 3, height, width) in [0, 1].
            target_from_source: (b, 4, 4), see `transform`.

        Returns:
            (b, 3, height, width), see `render`.
        """
        return self.predict(images, target_from_source).images

    def predict(
        self, images: Tensor, target_from_source: Tensor, distance: Tensor | None = None, source: Tensor | None = None
    ) -> ForwardPass:
        """As `forward`: distances (b,), NaN: estimated; `source` (n,) rows of images to move, None: all, in order."""
        scenes, sighting = self._lift(images, distance)
        moved = self._move(scenes if source is None else scenes[source], target_from_source)
        return ForwardPass(self._paint(moved), scenes, moved, sighting)

    @torch.no_grad()
    def predict_moved(self, images: Tensor, motions: Sequence[Tensor]) -> list[Tensor]:
        """What `forward` gives for each of several motions (b, 4, 4), to the bit; each picture is encoded once."""
        parts, _ = self._lift(images)
        return [self._paint(self._move(parts, motion)) for motion in motions]

    @torch.no_grad()
    def generate_novel_views(
        self, image: Tensor, target_from_source: Tensor, batch_size: int = 16, distance: float | None = None
    ) -> Tensor:
        """Many views of the object in one picture, which is encoded once.

        Args:
            image: (3, height, width) in [0, 1].
            target_from_source: (n, 4, 4) the motions from the picture's camera.
            batch_size: how many are rendered at a time.
            distance: see `inverse_render`.

        Returns:
            (n, 3, height, width) in [0, 1], clamped.

        Raises:
            EnrError: a shape does not fit, a motion is not rigid, or see `inverse_render`.
        """
        images, motions = checks.checked_single(image, target_from_source, self.config)
        return self.generate_from_sources(images, motions, batch_size, distance)

    @torch.no_grad()
    def generate_from_sources(
        self,
        images: Tensor,
        target_from_sources: Tensor,
        batch_size: int = 16,
        distance: Tensor | float | None = None,
    ) -> Tensor:
        """Many views of the object in several pictures, each of which is encoded once.

        Args:
            images: (sources, 3, height, width) in [0, 1]; where the range travels, empty ones do not count.
            target_from_sources: (n, sources, 4, 4) motions from each picture's camera to each wanted one.
            batch_size: how many are rendered at a time.
            distance: see `inverse_render`; None: of one picture estimated, of several triangulated.

        Returns:
            (n, 3, height, width) in [0, 1], clamped.

        Raises:
            EnrError: see `inverse_render`, `locate` and `fuse`; or views differ in where the pictures were taken.
        """
        checks.check_images(images, next(self.parameters()), self.config)
        chunks = checks.checked_batches(target_from_sources, len(images), batch_size)
        if self.sight is not None and not (shown := self.sight.which_show(images)).all():
            known = None if distance is None else checks.checked_distance(distance, images, self.config)[shown]
            return self.generate_from_sources(images[shown], torch.cat(chunks)[:, shown], batch_size, known)
        scenes = self.encode_together(images, chunks[0][0], distance)
        if len(images) == 1:
            parts = self.apart(scenes)
            return torch.cat([self.view(parts, chunk[:, 0]) for chunk in chunks]).clamp(0, 1)
        views = [self.render(self.fuse(scenes.expand(len(chunk), *scenes.shape), chunk)) for chunk in chunks]
        return torch.cat(views).clamp(0, 1)

    def encode_together(self, images: Tensor, motions: Tensor, distance: Tensor | float | None = None) -> AnyScene:
        """Scenes (sources, ...) of pictures with motions (sources, 4, 4) to one frame; see `generate_from_sources`."""
        if self.sight is None or len(images) == 1:
            return self.inverse_render(images, distance)
        if distance is None:
            return self._lift(images, self.locate(images, motions))[0].scene(self.config)
        scenes = self.inverse_render(images, distance)
        check_one_place(scenes, motions, self.config.half_depth)
        return scenes

    @property
    def _device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def frustum(self) -> Frustum:
        """The lens and depth range of the frustum volume."""
        return standing_frustum(self.config)
