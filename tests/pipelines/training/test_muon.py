"""Muon: what it does to matrices, which ones it takes, and that its state can be put away."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from enr.pipelines.training.muon import MuonAndAdam, is_matrix, orthogonalised

shapes = st.tuples(st.integers(1, 3), st.integers(2, 24), st.integers(2, 70))


@settings(max_examples=30, deadline=None)
@given(shapes, st.integers(0, 999))
def test_all_directions_become_about_equally_long_and_keep_their_sense(shape, seed):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    left, size, right = torch.linalg.svd(matrices, full_matrices=False)
    found = left.transpose(1, 2) @ orthogonalised(matrices) @ right.transpose(1, 2)
    large = size > 0.05 * size[:, :1]
    assert found.diagonal(dim1=1, dim2=2)[large].min() > 0.4
    assert found.diagonal(dim1=1, dim2=2).max() < 1.3
    assert (found - torch.diag_embed(found.diagonal(dim1=1, dim2=2))).abs().max() < 2e-2


@pytest.mark.parametrize("rows", [3, 12, 40])
def test_wide_matrices_are_treated_as_all_others(rows):
    """The iterations on the square are those on the matrix."""
    matrix = torch.randn(1, rows, 30)
    padded = torch.cat([matrix, torch.zeros(1, rows, 200)], dim=2)
    torch.testing.assert_close(orthogonalised(padded)[..., :30], orthogonalised(matrix), rtol=1e-3, atol=1e-3)
    assert orthogonalised(torch.zeros(1, rows, 30)).abs().max() == 0


def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.LeakyReLU(), nn.Conv2d(32, 32, 3), nn.Conv2d(32, 1, 1))


def test_heads_and_biases_are_adams():
    taken = [name for name, parameter in network().named_parameters() if is_matrix(parameter)]
    assert taken == ["0.weight", "2.weight"]


def train(model, optimizer, steps):
    generator = torch.Generator().manual_seed(3)
    images = torch.rand(4, 3, 6, 6, generator=generator)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (model(images) - images[:, :1, 1:5, 1:5]).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_it_learns_and_goes_on_where_it_was_put_away():
    model = network()
    optimizer = MuonAndAdam(model, 1e-3, 0.01)
    losses = train(model, optimizer, 40)
    assert losses[-1] < 0.2 * losses[0]
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    again = network()
    again.load_state_dict(kept)
    second = MuonAndAdam(again, 1e-3, 0.01)
    second.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert train(again, second, 5) == train(model, optimizer, 5)


def test_both_follow_one_course():
    groups = MuonAndAdam(network(), 1e-3, 0.02).param_groups
    assert [group.get("times", 1.0) for group in groups] == [20, 1]
