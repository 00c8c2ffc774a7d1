"""How a predicted picture is measured against the true one; one number for each picture.

Every function takes and gives torch tensors on one device and averages over nothing but the picture itself:
how pictures are averaged into a table is decided in `enr.pipelines.evaluation.measure`, in one place.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_msssim import ssim as gaussian_ssim

from enr.errors import EnrError

PSNR_CAP_DB = 100.0
"""PSNR of two equal pictures, whose squared error of 0 would otherwise make every mean infinite."""

SSIM_WINDOW_PX = 11
SSIM_SIGMA_PX = 1.5

RANGE_SLACK = 1e-3

SILHOUETTE_LEVEL = 0.1
"""A predicted pixel belongs to the silhouette when a channel departs from the background by more than this."""


def _check(*pictures: torch.Tensor) -> None:
    """Refuse what is no picture in [0, 1]; a little beyond it is rounding."""
    for values in pictures:
        low, high = (float(end) for end in values.detach().aminmax())
        if not -RANGE_SLACK <= low <= high <= 1 + RANGE_SLACK:  # a NaN, too, is not in it
            raise EnrError(
                f"Pictures with values from {low:.6g} to {high:.6g} were to be measured; give values in [0, 1] and no "
                "NaN: divide 0..255 by 255, and clamp predictions."
            )


def mean_squared_error(predicted: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Mean over channels and pixels of the squared difference, for each picture.

    Args:
        predicted: (n, 3, height, width), in [0, 1].
        target: (n, 3, height, width), in [0, 1].
        mask: (n, height, width) bool; only its pixels count.

    Returns:
        (n,); NaN for a picture whose mask is empty.
    """
    squared = (predicted - target).square().mean(dim=1)
    if mask is None:
        return squared.mean(dim=(1, 2))
    weight = mask.to(squared.dtype)
    return (squared * weight).sum(dim=(1, 2)) / weight.sum(dim=(1, 2))


def psnr(predicted: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Peak signal-to-noise ratio of each picture in dB, with a data range of 1.

    Args:
        predicted: (n, 3, height, width), in [0, 1].
        target: (n, 3, height, width), in [0, 1].
        mask: (n, height, width) bool, the foreground; without it all pixels count.

    Returns:
        (n,): -10 log10 of the mean squared error, at most `PSNR_CAP_DB`; NaN for a picture whose mask is empty.

    Raises:
        EnrError: a picture holds NaN, or values out of [0, 1].
    """
    _check(predicted, target)
    return (-10 * torch.log10(mean_squared_error(predicted, target, mask))).clamp(max=PSNR_CAP_DB)


def ssim(predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Structural similarity of each picture (Wang et al. 2004): 11x11 Gaussian, sigma 1.5, data range 1.

    Args:
        predicted: (n, 3, height, width), in [0, 1].
        target: (n, 3, height, width), in [0, 1].

    Returns:
        (n,): mean over the channels and the windows that lie wholly in the picture.

    Raises:
        EnrError: the pictures are smaller than the window, hold NaN, or values out of [0, 1].
    """
    _check(predicted, target)
    height, width = target.shape[-2:]
    if min(height, width) < SSIM_WINDOW_PX:
        raise EnrError(
            f"SSIM was asked for pictures of {width}x{height} px; its window needs at least "
            f"{SSIM_WINDOW_PX}x{SSIM_WINDOW_PX} px, so measure PSNR alone."
        )
    return gaussian_ssim(
        predicted, target, data_range=1.0, size_average=False, win_size=SSIM_WINDOW_PX, win_sigma=SSIM_SIGMA_PX
    )


def shows_something(rgba: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which pictures (n, height, width, 4) show anything of their object: (n,) bool.

    A blank picture is 100 dB for whoever paints the bare background; a few of them decide any mean.
    """
    return np.asarray(rgba[..., 3].any(axis=(1, 2)))


def silhouette(images: torch.Tensor, background: torch.Tensor) -> torch.Tensor:
    """Pixels (n, height, width) bool of images (n, 3, height, width) that depart from the background (3,)."""
    return ((images - background[:, None, None]).abs() > SILHOUETTE_LEVEL).any(dim=1)


def silhouette_iou(predicted: torch.Tensor, mask: torch.Tensor, background: torch.Tensor) -> torch.Tensor:
    """Intersection over union of each predicted silhouette with the true one.

    Args:
        predicted: (n, 3, height, width), in [0, 1].
        mask: (n, height, width) bool, the true silhouette (alpha of at least a half).
        background: (3,), in [0, 1].

    Returns:
        (n,), in [0, 1]; NaN where both silhouettes are empty.
    """
    found = silhouette(predicted, background)
    return (found & mask).sum(dim=(1, 2)) / (found | mask).sum(dim=(1, 2))


def mean_chroma(images: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean colour without its brightness, over each picture's foreground: red - green and yellow - blue.

    PSNR hardly sees whether a model keeps the object's colour; the correlation of this number with the true one does.

    Args:
        images: (n, 3, height, width), in [0, 1].
        mask: (n, height, width) bool, the foreground.

    Returns:
        (n, 2); NaN for a picture whose mask is empty.
    """
    weight = mask.to(images.dtype)[:, None]
    red, green, blue = ((images * weight).sum(dim=(2, 3)) / weight.sum(dim=(2, 3))).unbind(dim=1)
    return torch.stack([red - green, (red + green) / 2 - blue], dim=1)
