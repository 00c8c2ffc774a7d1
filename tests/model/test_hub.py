"""Models in the layout of the Hub: they come back within half precision, and those that ship are found by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import enr
from enr.errors import EnrError
from enr.model import Renderer, RendererConfig, load_model, read_metadata, shipped
from enr.model.hub import save_packed

METADATA = {"group": ["rot"], "step": 7}
HALF = 2.0**-11
"""Relative error of rounding to half precision."""


@pytest.fixture
def model(variants: dict[str, Any]) -> Renderer:
    return Renderer(RendererConfig(**variants["frustum-colour"])).eval()


def test_a_packed_model_comes_back_within_half_precision(model: Renderer, tmp_path: Path) -> None:
    size = save_packed(tmp_path, model, METADATA, "# A card\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert (tmp_path / "README.md").read_text() == "# A card\n"
    weights = model.state_dict()
    assert size == (tmp_path / "model.safetensors").stat().st_size
    assert (
        2 * sum(tensor.numel() for tensor in weights.values())
        <= size
        < 1.5 * sum(2 * tensor.numel() for tensor in weights.values())
    )
    loaded = load_model(tmp_path)
    assert loaded.config == model.config and read_metadata(tmp_path) == METADATA
    for name, tensor in loaded.state_dict().items():
        assert tensor.dtype == weights[name].dtype
        torch.testing.assert_close(tensor, weights[name], rtol=HALF, atol=2.0**-25)
    assert load_model(tmp_path / "config.json").config == load_model(tmp_path / "model.safetensors").config


def test_a_model_that_cannot_be_written_leaves_the_whole_one_before(
    model: Renderer, tmp_path: Path, monkeypatch
) -> None:
    save_packed(tmp_path, model, METADATA, "# A card\n")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with torch.no_grad():
        next(model.parameters()).add_(1)
    write = Path.write_bytes

    def write_or_be_full(path: Path, content: bytes) -> int:
        if b"Another" in content:
            raise OSError(28, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", write_or_be_full)
    with pytest.raises(OSError, match="No space"):
        save_packed(tmp_path, model, METADATA, "# Another card\n")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_its_pictures_are_the_model_s(model: Renderer, tmp_path: Path) -> None:
    save_packed(tmp_path, model, METADATA, "")
    pictures = torch.rand(2, *model.config.image_shape)
    with torch.no_grad():
        before, after = (one.render(one.inverse_render(pictures)) for one in (model, load_model(tmp_path)))
    torch.testing.assert_close(after, before, rtol=0, atol=5e-3)
    assert before.std() > 10 * (after - before).std() > 0


def test_what_half_precision_or_a_package_cannot_hold_is_refused(model: Renderer, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("enr.model.hub.LARGEST_BYTES", 1000)
    with pytest.raises(EnrError, match="can be packed"):
        save_packed(tmp_path / "large", model, METADATA, "")
    with torch.no_grad():
        next(iter(model.parameters())).view(-1)[0] = 1e5
    with pytest.raises(EnrError, match=r"65,504"):
        save_packed(tmp_path / "far", model, METADATA, "")
    assert not list(tmp_path.iterdir())


def test_a_model_that_ships_is_found_by_its_name(model: Renderer, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "package")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EnrError, match=r"The model 'shapes' is not in this copy of enr; .* `enr pack RUN "):
        enr.load_model("shapes")
    save_packed(tmp_path / "package" / "shapes", model, METADATA, "")
    (tmp_path / "shapes").mkdir()  # a folder of meshes, say
    assert enr.load_model("shapes").config == model.config


def test_a_checkpoint_of_that_name_comes_first(model: Renderer, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "package")
    save_packed(tmp_path / "shapes", model, METADATA, "")
    monkeypatch.chdir(tmp_path)
    assert enr.load_model("shapes").config == model.config
    with pytest.raises(EnrError, match="does not exist"):
        enr.load_model("shape")
