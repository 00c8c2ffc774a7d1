"""LPIPS (Zhang et al. 2018, version 0.1) of weights that a user has: nothing is downloaded.

The distance of two pictures is that of the unit-length features of a classifier (AlexNet or VGG16), weighted by what
people call similar. The weights are two files that others publish: the classifier's, as torchvision has them
(`features.0.weight`, ...), and the `lpips` package's (`lin0.model.1.weight`, ...); or the `lpips` package's whole state
(`net.slice1.0.weight`, ...), which holds both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from enr.errors import EnrError

MEAN, DEVIATION = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Of the colours in [-1, 1] on which the classifiers were trained."""

SUFFIXES = (".pth", ".pt", ".safetensors")
_CLASSIFIER = re.compile(r"^(?:net\.slice\d+|features)\.(\d+)\.(weight|bias)$")
_HEAD = re.compile(r"^lin(\d)\.model\.\d\.weight$")


@dataclass(frozen=True)
class Classifier:
    """The convolutions of a classifier, by their numbers in torchvision's `features`.

    Attributes:
        name: of it.
        stages: numbers of the convolutions before each of the five places where features are taken.
        widths: channels there.
        kernel_px: side of the first convolution's kernel.
        pool_px: side of the pooling windows.
        pooled: the stages that pooling comes before.
        smallest_px: smallest side of a picture that is left with a feature at the end.
    """

    name: str
    stages: tuple[tuple[int, ...], ...]
    widths: tuple[int, ...]
    kernel_px: int
    pool_px: int
    pooled: tuple[int, ...]
    smallest_px: int

    @property
    def convolutions(self) -> tuple[int, ...]:
        """Numbers of all of them."""
        return tuple(number for stage in self.stages for number in stage)


ALEXNET = Classifier("AlexNet", ((0,), (3,), (6,), (8,), (10,)), (64, 192, 384, 256, 256), 11, 3, (1, 2), 31)
VGG16 = Classifier(
    "VGG16",
    ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)),
    (64, 128, 256, 512, 512),
    3,
    2,
    (1, 2, 3, 4),
    16,
)


class Lpips(nn.Module):
    """The distance of pictures, with weights that stay as they are.

    Attributes:
        classifier: whose features are compared.
    """

    def __init__(self, classifier: Classifier, weights: Mapping[str, Tensor]) -> None:
        """Take the weights, named `features.<number>.weight`, `features.<number>.bias` and `lin<stage>`."""
        super().__init__()
        self.classifier = classifier
        for name, tensor in weights.items():
            self.register_buffer(name.replace(".", "_"), tensor.float())
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(1, 3, 1, 1))

    def check_size(self, height_px: int, width_px: int) -> None:
        """Check that pictures are large enough for the classifier.

        Raises:
            EnrError: they are not.
        """
        if min(height_px, width_px) < self.classifier.smallest_px:
            raise EnrError(
                f"Pictures of {width_px}x{height_px} px are too small for LPIPS by {self.classifier.name}, which needs "
                f"{self.classifier.smallest_px} px a side; leave loss.lpips out."
            )

    def forward(self, predicted: Tensor, target: Tensor) -> Tensor:
        """The mean distance (a scalar) of pictures (b, 3, h, w) from others; colours in [0, 1].

        Raises:
            EnrError: they are too small for the classifier.
        """
        self.check_size(predicted.shape[2], predicted.shape[3])
        pairs = zip(self._features(predicted), self._features(target), strict=True)
        distances = [
            functional.conv2d((one - other).square(), self.get_buffer(f"lin{stage}")).mean()
            for stage, (one, other) in enumerate(pairs)
        ]
        return torch.stack(distances).sum()

    def _features(self, images: Tensor) -> list[Tensor]:
        """Features (b, c, h, w) of unit length at every place of every stage."""
        maps = (2 * images - 1 - self.get_buffer("mean")) / self.get_buffer("deviation")
        taken = []
        for stage, numbers in enumerate(self.classifier.stages):
            if stage in self.classifier.pooled:
                maps = functional.max_pool2d(maps, self.classifier.pool_px, stride=2)
            for number in numbers:
                maps = self._convolve(maps, number)
            taken.append(functional.normalize(maps, dim=1, eps=1e-10))
        return taken

    def _convolve(self, maps: Tensor, number: int) -> Tensor:
        weight, bias = self.get_buffer(f"features_{number}_weight"), self.get_buffer(f"features_{number}_bias")
        wide = weight.shape[2] > 5  # AlexNet's first, which alone has a stride
        return functional.conv2d(maps, weight, bias, 4 if wide else 1, 2 if wide else weight.shape[2] // 2).relu()


def load_lpips(path: Path) -> Lpips:
    """The distance of weights that lie on the disk.

    Args:
        path: a file with the classifier's and the `lpips` package's weights, or a folder with a file of each.

    Raises:
        EnrError: a file is missing or unreadable, or the weights are not those of AlexNet or VGG16.
    """
    weights: dict[str, Tensor] = {}
    for file in _files(path):
        weights.update(_named(_read(file)))
    first = weights.get("features.0.weight")
    classifier = ALEXNET if first is not None and first.shape[-1] == ALEXNET.kernel_px else VGG16
    expected = _expected(classifier)
    wrong = next((name for name in expected if tuple(weights.get(name, torch.empty(0)).shape) != expected[name]), None)
    if wrong is not None:
        raise EnrError(
            f"lpips_weights {path} holds no {wrong} of the shape {expected[wrong]} ({classifier.name}); give a folder "
            "with torchvision's weights of alexnet or vgg16 and the lpips package's weights/v0.1 of the same network."
        )
    return Lpips(classifier, {name: weights[name] for name in expected})


def _files(path: Path) -> list[Path]:
    files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise EnrError(
            f"lpips_weights {path} is no file and no folder of {', '.join(SUFFIXES)} files; weights are never "
            "downloaded: put torchvision's alexnet or vgg16 and the lpips package's weights/v0.1 there."
        )
    return files


def _read(file: Path) -> dict[str, Tensor]:
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # what reading junk as a pickle raises is not to be listed
        raise EnrError(f"lpips_weights: {file} is not a readable file of tensors alone; take another copy.") from error
    return {str(name): value for name, value in content.items()} if isinstance(content, Mapping) else {}


def _named(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those that LPIPS needs, by the names of `Lpips`."""
    named = {}
    for name, tensor in tensors.items():
        if match := _CLASSIFIER.match(name):
            named[f"features.{match[1]}.{match[2]}"] = tensor
        elif match := _HEAD.match(name):
            named[f"lin{match[1]}"] = tensor
    return named


def _expected(classifier: Classifier) -> dict[str, tuple[int, ...]]:
    """The shape of every weight."""
    shapes: dict[str, tuple[int, ...]] = {}
    before, sides = 3, {0: classifier.kernel_px, 3: 5}
    for stage, (numbers, width) in enumerate(zip(classifier.stages, classifier.widths, strict=True)):
        for number in numbers:
            side = sides.get(number, 3)
            shapes[f"features.{number}.weight"] = (width, before, side, side)
            shapes[f"features.{number}.bias"] = (width,)
            before = width
        shapes[f"lin{stage}"] = (1, width, 1, 1)
    return shapes
