"""The renderer that is told the motion, in place of a warp, sees all of it and learns from it."""

from __future__ import annotations

import pytest
import torch

from enr.errors import EnrError
from enr.model import Renderer, RendererConfig, load_model, save_model

CONDITIONED = {"warp": "conditioned", "projection": "fold", "conditioning_width": 24}


def conditioned(small):
    torch.manual_seed(0)
    return Renderer(RendererConfig(**{**small, **CONDITIONED}))


def test_it_sees_the_whole_motion(small, motions):
    """The picture depends on each of the twelve numbers of the motion, which no warp gives away."""
    model, images = conditioned(small), torch.rand(1, 3, 16, 16)
    motion = motions(1).float().requires_grad_()
    code = model.conditioning(model.inverse_render(images), motion)
    (gradient,) = torch.autograd.grad(code.square().sum(), motion)
    assert (gradient[0, :3] != 0).all()
    assert (gradient[0, 3] == 0).all()


def test_any_place_of_the_picture_reaches_any_other(small, motions):
    model = conditioned(small)
    images = torch.rand(1, 3, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(model(images, motions(1))[0, :, 0, 0].sum(), images)
    assert (gradient[0].abs().sum(0)[-1] != 0).all()


def test_it_learns_which_motion_it_was_told(small, motions):
    """One source, three motions, three plain targets: only the motion tells them apart."""
    model, motion = conditioned(small), motions(3)
    images = torch.rand(1, 3, 16, 16).expand(3, -1, -1, -1)
    targets = torch.tensor([0.1, 0.5, 0.9]).reshape(3, 1, 1, 1).expand(3, 3, 16, 16)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(300):
        loss = (model(images, motion) - targets).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.01  # the variance of the targets, which a model blind to the motion is left with, is 0.107


def test_it_is_kept_and_loaded(small, motions, tmp_path):
    model, images, motion = conditioned(small).eval(), torch.rand(2, 3, 16, 16), motions(2)
    save_model(tmp_path / "model", model, {})
    assert torch.equal(load_model(tmp_path / "model")(images, motion), model(images, motion))


@pytest.mark.parametrize("change", [{"projection": "composite"}, {"spherical_mask": True}, {"carry_colour": True}])
def test_what_needs_a_warp_is_refused(small, change):
    with pytest.raises(EnrError, match=r"conditioned|frustum"):
        RendererConfig(**{**small, **CONDITIONED, **change})
