"""Checkpoints come back as they went, and what is none is refused in one sentence."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from enr import files
from enr.errors import EnrError
from enr.model import Renderer, RendererConfig, load_model, read_metadata, save_model

METADATA = {"groups": ["rot", "trans"], "data": {"scenes": 3}, "step": 7}


@pytest.fixture
def saved(tmp_path: Path, variants: dict[str, Any]) -> Path:
    folder = tmp_path / "best"
    save_model(folder, Renderer(RendererConfig(**variants["frustum-colour"])), METADATA)
    return folder


def test_a_model_comes_back_as_it_went(config: RendererConfig, tmp_path: Path) -> None:
    model = Renderer(config).eval()
    save_model(tmp_path / "last", model, METADATA)
    loaded = load_model(tmp_path / "last")
    assert loaded.config == config
    assert not loaded.training
    weights = model.state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in loaded.state_dict().items())
    assert read_metadata(tmp_path / "last") == METADATA


def widening_in(checkpoint: Path) -> list[float]:
    sight = load_model(checkpoint).sight
    assert sight is not None
    widening: list[float] = sight.widening.tolist()
    return widening


@torch.enable_grad()
def test_pictures_of_a_loaded_model_are_arrays_until_a_training_asks_for_gradients(saved: Path) -> None:
    model = load_model(saved)
    scene = model.inverse_render(torch.rand(1, *model.config.image_shape))
    assert model.render(scene).numpy().shape == (1, *model.config.image_shape)
    assert model.requires_grad_(True).render(scene).requires_grad


def test_what_earlier_versions_did_not_measure_keeps_its_start(tmp_path: Path, variants: dict[str, Any]) -> None:
    model = Renderer(RendererConfig(**{**variants["frustum-colour"], "depth_range": "travelling"}))
    assert model.sight is not None
    model.sight.widening.copy_(torch.tensor([1.5, 2.0]))
    save_model(tmp_path / "new", model, METADATA)
    weights = load_file(tmp_path / "new" / "model.safetensors")
    assert widening_in(tmp_path / "new") == [1.5, 2.0]
    del weights["sight.widening"]
    save_file(weights, tmp_path / "new" / "model.safetensors")
    assert widening_in(tmp_path / "new") == [1, 1]
    del weights["sight.told.bias"]
    save_file(weights, tmp_path / "new" / "model.safetensors")
    with pytest.raises(EnrError, match="do not fit their config"):
        load_model(tmp_path / "new")


def test_either_file_names_the_checkpoint_and_nothing_else_is_left(saved: Path) -> None:
    for name in ("model.safetensors", "model.json"):
        assert load_model(saved / name).config == load_model(saved).config
    assert sorted(path.name for path in saved.iterdir()) == ["model.json", "model.safetensors"]


@pytest.fixture
def published_content(variants: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint in the published format, written from one of our own models."""
    config = RendererConfig(**variants["paper"])
    names = {}
    for name, tensor in Renderer(config).state_dict().items():
        renamed = name.replace("pointwise.", "").replace("layers", "forward_layers")
        names[renamed.replace("residual", "residual_layers.forward_layers")] = tensor
    names["spherical_mask.mask"] = torch.ones(config.scene_shape)
    kept = [key for key in config.to_dict() if key.startswith(("channels", "strides", "num"))]
    described = {key: config.to_dict()[key] for key in kept}
    return {"config": {"img_shape": [3, 16, 16], **described, "mode": "bilinear"}, "state_dict": names}


def test_the_published_format_loads(tmp_path: Path, published_content: dict[str, Any]) -> None:
    content = published_content
    torch.save(content, tmp_path / "chairs.pt")
    model = load_model(tmp_path / "chairs.pt")
    assert (model.config.warp, model.config.output, model.config.spherical_mask) == ("rigid", "sigmoid", True)
    head = content["state_dict"]["transform_2d.forward_layers.0.weight"]
    assert torch.equal(model.transform_2d.layers[0].weight, head)
    assert read_metadata(tmp_path / "chairs.pt")["groups"] == ["rot"]


class Intruder:
    """Unpickling it would run code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("intruder-was-here"),))


def test_code_in_a_published_file_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"config": Intruder(), "state_dict": {}}, "bad.pt")
    with pytest.raises(EnrError, match=r"bad\.pt is not a readable checkpoint"):
        load_model(Path("bad.pt"))
    assert not Path("intruder-was-here").exists()


def test_other_published_files_are_refused(tmp_path: Path, published_content: dict[str, Any]) -> None:
    path = tmp_path / "model.pt"
    for change, message in (
        ({"config": {}}, "config lacks img_shape"),
        ({"state_dict": {}}, "do not fit their config"),
        ({"config": [1, 2]}, r"config is \[1, 2\]; expected a table"),
        ({"config": {**published_content["config"], "img_shape": 64}}, "img_shape = 64; expected"),
        ({"config": {**published_content["config"], "channels_2d": 64}}, "model.channels_2d is 64; it must be a list"),
        ({"state_dict": [1]}, "no table of tensors"),
        ({"state_dict": {"weight": 1}}, "no table of tensors"),
    ):
        torch.save({**published_content, **change}, path)
        with pytest.raises(EnrError, match=message):
            load_model(path)
    torch.save([1, 2], path)
    with pytest.raises(EnrError, match="no config and state_dict"):
        load_model(path)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(EnrError, match="not a readable checkpoint"):
        load_model(path)
    with pytest.raises(EnrError, match="not a file"):
        load_model(tmp_path / "absent.pt")


def test_what_is_no_checkpoint_is_refused(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(EnrError, match=r"lacks model\.safetensors and model\.json"):
        load_model(tmp_path)
    with pytest.raises(EnrError, match="<run>/checkpoints/best"):
        load_model(saved.parent)
    with pytest.raises(EnrError, match="is no checkpoint"):
        load_model(tmp_path / "weights.bin")
    weights = saved / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(EnrError, match="not a readable safetensors file"):
        load_model(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "does not describe a renderer"),
        ({"format_version": 99}, "checkpoint format 99"),
        ({"config": {"warpp": 1}}, "did you mean warp"),
        ({"config": 5}, "has config = 5"),
        ({"metadata": None}, "has metadata = None"),
    ],
)
def test_a_changed_description_is_refused(saved: Path, change: dict[str, Any], message: str) -> None:
    path = saved / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(EnrError, match=message):
        load_model(saved)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image_shape", 16),
        ("image_shape", [3, "x", 16]),
        ("focal_px", "x"),
        ("near", None),
        ("focal_px", float("nan")),
        ("channels_2d", [4.5]),
        ("spherical_mask", "perhaps"),
        ("depth_cells", 2.5),
        ("warp", ["rigid"]),
        ("background", "white"),
    ],
)
def test_an_entry_of_another_kind_is_named(saved: Path, name: str, value: Any) -> None:
    path = saved / "model.json"
    described = json.loads(path.read_text())
    described["config"][name] = value
    path.write_text(json.dumps(described))
    with pytest.raises(EnrError, match=rf"model\.{name}(\.\d)? is .*; (it must be|give) "):
        load_model(saved)


def test_files_are_on_the_disk_before_they_get_their_names(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, events = load_model(saved), []
    replace = Path.replace
    monkeypatch.setattr(files, "sync", lambda path: events.append(path.name))
    monkeypatch.setattr(Path, "replace", lambda self, to: (events.append(to.name), replace(self, to))[1])
    save_model(saved, model, METADATA)
    names = ("model.safetensors", "model.json")
    assert events == [event for name in names for event in (f"{name}.{os.getpid()}.partial", name, saved.name)]


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_files_have_the_rights_that_the_umask_leaves(saved: Path, tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        save_model(tmp_path / "other", load_model(saved), METADATA)
    finally:
        os.umask(before)
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "other").iterdir()} == {0o666 & ~mask}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(saved: Path, value: float) -> None:
    weights = load_file(saved / "model.safetensors")
    next(iter(weights.values())).view(-1)[-1] = value
    save_file(weights, saved / "model.safetensors")
    with pytest.raises(EnrError, match="NaN or infinity"):
        load_model(saved)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_model_of_weights_that_are_no_numbers_is_not_written(saved: Path, tmp_path: Path, value: float) -> None:
    model = load_model(saved)
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] = value
    with pytest.raises(EnrError, match="NaN or infinity"):
        save_model(tmp_path / "new", model, METADATA)
    assert not (tmp_path / "new").exists()
    before = (saved / "model.safetensors").read_bytes()
    with pytest.raises(EnrError, match="nothing was written"):
        save_model(saved, model, METADATA)
    assert (saved / "model.safetensors").read_bytes() == before


def test_weights_kept_in_bfloat16_load_as_float32(saved: Path, tmp_path: Path) -> None:
    model = load_model(saved).bfloat16()
    save_model(tmp_path / "half", model, METADATA)
    loaded = load_model(tmp_path / "half")
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    one, two = next(model.parameters()), next(loaded.parameters())
    assert torch.equal(one.float(), two)


def test_missing_metadata_is_named(saved: Path) -> None:
    path = saved / "model.json"
    described = json.loads(path.read_text())
    del described["metadata"]
    path.write_text(json.dumps(described))
    with pytest.raises(EnrError, match="lacks the entry metadata"):
        read_metadata(saved)


def test_weights_of_another_architecture_are_refused(saved: Path) -> None:
    path = saved / "model.json"
    described = json.loads(path.read_text())
    described["config"]["num_channels_projection"] = [16, 8]
    path.write_text(json.dumps(described))
    with pytest.raises(EnrError, match=r"do not fit their config \(first: projection\."):
        load_model(saved)
    for broken in ("{", "[" * 100_000):
        path.write_text(broken)
        with pytest.raises(EnrError, match="not readable JSON"):
            load_model(saved)
