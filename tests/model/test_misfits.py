"""What does not fit a renderer is refused in a sentence: pictures, motions and angles of other kinds or shapes."""

from __future__ import annotations

from collections.abc import Callable
from math import nan
from typing import Any

import pytest
import torch
from torch import Tensor

from enr.errors import EnrError
from enr.model import Renderer, RendererConfig
from enr.model.published import orbit_motions

Motions = Callable[..., Tensor]
Values = dict[str, Any]

MISFITS: dict[str, tuple[Callable[[Renderer, Tensor, Tensor], object], str]] = {
    "no picture": (lambda model, images, _: model.inverse_render(images[:0]), "one picture at least"),
    "a batch for a picture": (
        lambda model, images, motions: model.generate_novel_views(images[:1], motions),
        r"given as \(1, 3, .*expected one tensor \(3, height, width\)",
    ),
    "a path for a picture": (
        lambda model, _, motions: model.generate_novel_views("chair.png", motions),
        r"given as str; expected one tensor \(3, height, width\)",
    ),
    "no motion": (
        lambda model, images, motions: model.generate_novel_views(images[0], motions[:0]),
        r"\(0, 4, 4\); expected \(n, 4, 4\)",
    ),
    "one motion": (
        lambda model, images, motions: model.generate_novel_views(images[0], motions[0]),
        r"shape \(4, 4\); expected \(n, 4, 4\)",
    ),
    "one motion of a scene": (
        lambda model, images, motions: model.view(model.inverse_render(images[:1]), motions[0]),
        r"shape \(4, 4\); expected motions \(n, 4, 4\)",
    ),
    "text for a motion": (
        lambda model, images, _: model.transform(model.inverse_render(images[:1]), "left"),
        "given as 'left'; expected motions",
    ),
    "empty batches": (
        lambda model, images, motions: model.generate_novel_views(images[0], motions, batch_size=0),
        "batch_size is 0; expected a whole number",
    ),
    "batches below nothing": (
        lambda model, images, motions: model.generate_novel_views(images[0], motions, batch_size=-1),
        "batch_size is -1; expected a whole number",
    ),
    "too few motions": (
        lambda model, images, motions: model.generate_from_sources(images, motions[None, :2]),
        r"shape \(1, 2, 4, 4\); expected \(n, 3, 4, 4\)",
    ),
    "no source": (
        lambda model, images, motions: model.generate_from_sources(images[:0], motions[None, :0]),
        "one picture at least",
    ),
    "motions that differ from view to view": (
        lambda model, images, motions: model.generate_from_sources(images, torch.stack([motions, motions.flip(0)])),
        r"target_from_sources\[1\] tells otherwise than target_from_sources\[0\]",
    ),
    "text for scenes": (lambda model, _, motions: model.fuse("scenes", motions[None]), "Scenes of shape str"),
    "text for a scene": (lambda model, *_: model.render("scene"), "is a tensor, not str"),
    "text for an angle": (
        lambda model, images, _: model.rotate_source_to_target(model.inverse_render(images), "a", [0], [0], [0]),
        "azimuth_source_deg is given as 'a'; expected finite numbers of degrees",
    ),
    "an angle that is no number": (
        lambda model, images, _: model.rotate_source_to_target(model.inverse_render(images), [0], [nan], [0], [0]),
        r"elevation_source_deg is given as \[nan\]; expected finite numbers",
    ),
    "unequal angles": (
        lambda model, images, _: model.rotate_source_to_target(
            model.inverse_render(images), [0, 1, 2], [0], [0, 1], [0]
        ),
        "3 azimuth_source_deg, 1 elevation_source_deg, 2 azimuth_target_deg, 1 elevation_target_deg; expected as many",
    ),
    "no wanted view": (lambda *_: orbit_motions((0, 0), [], 2.0), "at least one wanted view"),
    "text for a view": (lambda *_: orbit_motions((0, 0), ["ab"], 2.0), "expected azimuth and elevation"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_what_does_not_fit_is_refused_in_a_sentence(case: str, small: Values, motions: Motions) -> None:
    model = Renderer(RendererConfig(**small)).eval()
    call, words = MISFITS[case]
    with pytest.raises(EnrError, match=words):
        call(model, torch.rand(3, *model.config.image_shape), motions(3))


def test_motions_may_differ_by_the_rounding_of_poses(small: Values, motions: Motions) -> None:
    model = Renderer(RendererConfig(**small)).eval()
    images, first = torch.rand(2, *model.config.image_shape), motions(2)
    rows = torch.stack([first, motions(1, seed=3) @ first]).float()
    assert model.generate_from_sources(images, rows).shape == (2, *model.config.image_shape)
