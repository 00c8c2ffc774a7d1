"""LPIPS equals the distance written out, for weights of either network in any of the files that hold them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from enr.errors import EnrError
from enr.model.lpips import load_lpips

POOL = "pool"
NETWORKS = {
    "alexnet": [(64, 11, 4, 2), POOL, (192, 5, 1, 2), POOL, (384, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1)],
    "vgg16": [
        *[(64, 3, 1, 1)] * 2,
        POOL,
        *[(128, 3, 1, 1)] * 2,
        POOL,
        *[(256, 3, 1, 1)] * 3,
        POOL,
        *[(512, 3, 1, 1)] * 3,
        POOL,
        *[(512, 3, 1, 1)] * 3,
    ],
}
TAKEN_AFTER = {"alexnet": (1, 4, 7, 9, 11), "vgg16": (3, 8, 15, 22, 29)}
"""Numbers of the ReLUs in torchvision's `features` whose output the `lpips` package compares."""


def features_of(name: str) -> nn.Sequential:
    """Torchvision's `features` of the network, with random weights."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    channels = 3
    for entry in NETWORKS[name]:
        if entry == POOL:
            layers.append(nn.MaxPool2d(3 if name == "alexnet" else 2, 2))
            continue
        width, side, stride, padding = entry
        layers += [nn.Conv2d(channels, width, side, stride, padding), nn.ReLU()]
        channels = width
    return nn.Sequential(*layers)


def heads_of(name: str, features: nn.Sequential) -> list[Tensor]:
    widths = [features[number - 1].out_channels for number in TAKEN_AFTER[name]]
    return [torch.rand(1, width, 1, 1) for width in widths]


def written_out(name: str, features: nn.Sequential, heads: list[Tensor], one: Tensor, other: Tensor) -> Tensor:
    """The definition (Zhang et al. 2018), picture by picture and place by place, in float64."""
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    distances = []
    for pair in zip(one, other, strict=True):
        maps = [((2 * image - 1 - shift.view(3, 1, 1)) / scale.view(3, 1, 1)).double()[None] for image in pair]
        total = torch.zeros((), dtype=torch.float64)
        for number, layer in enumerate(features.double()):
            maps = [layer(image) for image in maps]
            if number in TAKEN_AFTER[name]:
                head = heads[TAKEN_AFTER[name].index(number)].flatten().double()
                places = [image[0].flatten(1).T for image in maps]
                unit = [rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-10) for rows in places]
                total += ((unit[0] - unit[1]) ** 2 @ head).mean()
        distances.append(total)
    return torch.stack(distances).mean()


def write_weights(folder: Path, name: str, features: nn.Sequential, heads: list[Tensor], kind: str) -> Path:
    """The weights as a user has them: two files of torchvision and `lpips`, or one of the `lpips` package's state."""
    rows = {f"lin{stage}.model.1.weight": head for stage, head in enumerate(heads)}
    trunk = {f"features.{number}": tensor for number, tensor in features.state_dict().items()}
    trunk["classifier.1.weight"] = torch.zeros(2, 2)
    if kind == "folder":
        torch.save(trunk, folder / "classifier.pth")
        torch.save(rows, folder / "heads.pth")
        return folder
    sliced = {f"net.slice1.{number}": tensor for number, tensor in features.state_dict().items()}
    state = {**sliced, **rows, "scaling_layer.shift": torch.zeros(1, 3, 1, 1)}
    if kind == "safetensors":
        save_file(state, folder / "lpips.safetensors")
        return folder / "lpips.safetensors"
    torch.save(state, folder / "lpips.pth")
    return folder / "lpips.pth"


@pytest.fixture(scope="module", params=["alexnet", "vgg16"])
def network(request, tmp_path_factory):
    """Name, features, heads and a folder of their files."""
    features = features_of(request.param)
    heads = heads_of(request.param, features)
    folder = tmp_path_factory.mktemp(request.param)
    write_weights(folder, request.param, features, heads, "folder")
    return request.param, features, heads, folder


def test_it_equals_the_distance_written_out(network) -> None:
    name, features, heads, folder = network
    one, other = torch.rand(2, 2, 3, 32, 36)
    lpips = load_lpips(folder)
    expected = written_out(name, features, heads, one, other)
    torch.testing.assert_close(lpips(one, other).double(), expected, rtol=1e-4, atol=1e-6)
    assert not list(lpips.parameters())


def test_equal_pictures_are_at_distance_0_and_the_gradient_is_finite(network) -> None:
    lpips = load_lpips(network[3])
    image = torch.rand(1, 3, 32, 32)
    near, far = (image + noise * torch.randn_like(image) for noise in (0.05, 0.4))
    assert lpips(image, image) == 0
    assert 0 < lpips(near, image) < lpips(far, image)
    blank = torch.ones(1, 3, 32, 32, requires_grad=True)
    lpips(blank, image).backward()
    assert blank.grad is not None and torch.isfinite(blank.grad).all() and blank.grad.abs().max() > 0


@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_one_file_of_the_packages_state_serves_as_well(tmp_path, kind: str) -> None:
    features = features_of("alexnet")
    heads = heads_of("alexnet", features)
    path = write_weights(tmp_path, "alexnet", features, heads, kind)
    one, other = torch.rand(2, 1, 3, 32, 32)
    expected = written_out("alexnet", features, heads, one, other)
    torch.testing.assert_close(load_lpips(path)(one, other).double(), expected, rtol=1e-4, atol=1e-6)


def test_what_is_missing_or_does_not_fit_is_one_sentence(network, tmp_path) -> None:
    def refused(path: Path, *words: str) -> None:
        with pytest.raises(EnrError) as caught:
            load_lpips(path)
        assert all(word in str(caught.value) for word in words), str(caught.value)
        assert "\n" not in str(caught.value)

    refused(tmp_path / "nothing", "nothing", "never downloaded")
    refused(tmp_path, "never downloaded")
    (tmp_path / "text.pth").write_text("hello")
    refused(tmp_path / "text.pth", "text.pth", "not a readable file")
    refused(network[3] / "heads.pth", "features.0.weight", "torchvision")
    refused(network[3] / "classifier.pth", "lin0", "lpips package")
    with pytest.raises(EnrError, match="too small for LPIPS"):
        load_lpips(network[3])(torch.rand(1, 3, 12, 12), torch.rand(1, 3, 12, 12))
