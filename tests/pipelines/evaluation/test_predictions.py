"""Pictures of another method get the numbers that a model with the same pictures gets; what is missing is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.command_line import check_refused, enr
from tests.pipelines.tiny_config import tiny_config
from tests.pipelines.toy_shards import Toy, write_toy

from enr.model.checkpoint import save_model
from enr.model.renderer import Renderer
from enr.pipelines.data.views import ViewSet, composite
from enr.pipelines.metrics import PSNR_CAP_DB

torch.set_num_threads(1)
VIEWS = 4
SIZE = 16


@pytest.fixture
def there(tmp_path, monkeypatch) -> Path:
    """A working folder with one shard of two test scenes."""
    monkeypatch.chdir(tmp_path)
    write_toy(tmp_path / "toy.h5", Toy(splits=("train", "test", "test"), views=VIEWS, size_px=SIZE))
    return tmp_path


def save(folder: Path, view_set: ViewSet, index: int, picture: np.ndarray) -> None:
    """A picture (height, width, 3 or 4) uint8 as the prediction of a view."""
    scene = view_set.all_scenes[view_set.views["scene"][index]]
    file = folder / scene.group / scene.scene_id / f"{view_set.views['view_index'][index]:05d}.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(file)


def target_views(view_set: ViewSet) -> list[int]:
    return [int(view) for scene in view_set.scenes("test") for view in scene.view_indices[1:]]


def results(out: Path) -> dict:
    (group,) = json.loads((out / "report.json").read_text())["results"]
    return group


@pytest.mark.parametrize("with_alpha", [True, False])
def test_true_pictures_are_perfect_predictions(there, with_alpha):
    view_set = ViewSet.open([there / "toy.h5"])
    for index in target_views(view_set):
        rgba = view_set.images([index])
        over_white = composite(torch.from_numpy(rgba), (1, 1, 1)).mul(255).round()[0].permute(1, 2, 0).byte().numpy()
        save(there / "mine", view_set, index, rgba[0] if with_alpha else over_white)
    result = enr("eval", "toy.h5", "--predictions", "mine", "--out", "out", "--ssim")
    assert result.exit_code == 0, result.output
    assert result.output.startswith("Predictions: mine")
    found = results(there / "out")
    assert found["scenes"] == 2
    assert found["scores"]["model"]["psnr_db"] > 45  # alpha's own rounding, which the 8-bit targets have not
    if not with_alpha:
        assert found["scores"]["model"] == {"psnr_db": PSNR_CAP_DB, "psnr_foreground_db": PSNR_CAP_DB, "ssim": 1.0}
    assert found["silhouette_iou"] > 0.9
    assert found["pose_gap_db"] > 5
    assert (there / "out" / found["picture"]).is_file()


def test_a_models_own_pictures_score_as_the_model_does(there):
    torch.manual_seed(0)
    config = tiny_config(SIZE, carry_colour=True)
    model = Renderer(config).eval()
    save_model(there / "model", model, {"groups": ["rototrans"]})
    view_set = ViewSet.open([there / "toy.h5"])
    for scene in view_set.scenes("test"):
        source, targets = scene.view_indices[0], scene.view_indices[1:]
        picture = composite(torch.from_numpy(view_set.images([source])), (1, 1, 1)).mul(255).round().div(255)[0]
        motions = torch.from_numpy(view_set.target_from_source(np.full(len(targets), source), targets))
        with torch.inference_mode():
            painted = model.generate_novel_views(picture, motions).mul(255).round().byte().permute(0, 2, 3, 1).numpy()
        for index, pixels in zip(targets, painted, strict=True):
            save(there / "mine", view_set, int(index), pixels)
    assert enr("eval", "toy.h5", "--predictions", "mine", "--out", "a").exit_code == 0
    assert enr("eval", "toy.h5", "--checkpoint", "model", "--out", "b", "--device", "cpu").exit_code == 0
    by_folder, by_model = results(there / "a"), results(there / "b")
    assert set(by_folder["scores"]) == set(by_model["scores"])
    for candidate, scores in by_model["scores"].items():
        assert by_folder["scores"][candidate] == pytest.approx(scores, abs=0.01), candidate
    assert by_folder["silhouette_iou"] == pytest.approx(by_model["silhouette_iou"], abs=0.02)


def whole_folder(there: Path) -> list[int]:
    view_set = ViewSet.open([there / "toy.h5"])
    targets = target_views(view_set)
    for index in targets:
        save(there / "mine", view_set, index, np.full((SIZE, SIZE, 3), 255, np.uint8))
    return targets


def test_the_table_speaks_of_predictions_and_of_what_is_not_known(there):
    whole_folder(there)
    one = enr("eval", "toy.h5", "--predictions", "mine", "--out", "one").output
    two = enr("eval", "toy.h5", "--predictions", "mine", "--sources", "2", "--out", "two").output
    assert "wrong-pose control" in one and "The method " in one
    assert "model" not in one.split("Silhouette IoU")[0]
    assert "what the method was given is not known here" in two
    assert "what the method was given" not in one


def test_a_missing_prediction_is_named_and_nothing_is_written(there):
    whole_folder(there)
    (there / "mine/rototrans/box-002/00003.png").unlink()
    check_refused(
        enr("eval", "toy.h5", "--predictions", "mine", "--out", "out"),
        "lacks 1 prediction",
        "rototrans/box-002/00003.png",
        unwritten="out",
    )


def test_a_picture_of_16_bits_is_named(there):
    whole_folder(there)
    Image.fromarray(np.full((SIZE, SIZE), 257 * 90, np.uint16)).save(there / "mine/rototrans/box-001/00002.png")
    check_refused(
        enr("eval", "toy.h5", "--predictions", "mine", "--out", "out"), "00002.png", "more than 8 bits", unwritten="out"
    )


def test_a_picture_of_another_size_is_named(there):
    whole_folder(there)
    Image.new("RGB", (8, 8)).save(there / "mine/rototrans/box-001/00002.png")
    check_refused(
        enr("eval", "toy.h5", "--predictions", "mine", "--out", "out"), "00002.png has 8x8 px", unwritten="out"
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["toy.h5", "--checkpoint", "model"], "--checkpoint"),
        (["toy.h5", "--untrained"], "--untrained"),
        (["toy.h5", "--equivariance"], "--equivariance"),
        ([], "name the shards"),
    ],
)
def test_what_needs_a_model_is_refused(there, options, words):
    whole_folder(there)
    check_refused(enr("eval", *options, "--predictions", "mine", "--out", "out"), words, unwritten="out")


def test_a_folder_that_is_not_there_is_one_sentence(there):
    check_refused(
        enr("eval", "toy.h5", "--predictions", "nowhere", "--out", "out"), "nowhere is not a folder", unwritten="out"
    )


def test_a_single_target_is_refused(there):
    write_toy(there / "pair.h5", Toy(splits=("test",), views=2, size_px=SIZE, prefix="pair"))
    whole_folder(there)
    check_refused(
        enr("eval", "pair.h5", "--predictions", "mine", "--out", "out"), "single target view", unwritten="out"
    )


@pytest.mark.parametrize("out", ["mine", "mine/report"])
def test_a_report_is_not_written_into_the_predictions(there, out):
    whole_folder(there)
    check_refused(enr("eval", "toy.h5", "--predictions", "mine", "--out", out), "lies in the predictions")
    assert not list((there / "mine").rglob("report*"))


@pytest.mark.parametrize(
    ("mode", "kind", "words"),
    [
        ("RGB", "GIF", "not a PNG"),
        ("RGB", "JPEG", "not a PNG"),
        ("CMYK", "JPEG", "not a PNG"),
        ("P", "PNG", "RGBA"),
        ("1", "PNG", "RGBA"),
    ],
)
def test_what_is_no_png_of_8_bits_is_named(there, mode, kind, words):
    whole_folder(there)
    Image.new(mode, (SIZE, SIZE)).save(there / "mine/rototrans/box-001/00002.png", format=kind)
    said = enr("eval", "toy.h5", "--predictions", "mine", "--out", "out")
    check_refused(said, "00002.png", words, unwritten="out")


def test_colours_of_16_bits_are_named(there):
    """Pillow reads them in silence, and cuts them off."""
    whole_folder(there)
    file = there / "mine/rototrans/box-001/00002.png"
    content = bytearray(file.read_bytes())
    content[24] = 16
    file.write_bytes(content)
    said = enr("eval", "toy.h5", "--predictions", "mine", "--out", "out")
    check_refused(said, "00002.png", "more than 8 bits", unwritten="out")


def test_the_source_is_that_of_the_method(there):
    """What `enr baseline --source 1` recorded decides, and is not contradicted."""
    whole_folder(there)
    for scene in (there / "mine/rototrans").iterdir():
        (scene / "00001.png").rename(scene / "00000.png")
    (there / "mine/method.json").write_text('{"method": "gqn", "source": 1}')
    said = enr("eval", "toy.h5", "--predictions", "mine", "--out", "out")
    assert said.exit_code == 0 and "from source view 1" in said.output
    assert enr("eval", "toy.h5", "--predictions", "mine", "--source", "1", "--out", "same").exit_code == 0
    for options in (["--source", "0"], ["--sources", "2"], ["--protocol", "apple"]):
        again = enr("eval", "toy.h5", "--predictions", "mine", *options, "--out", "other")
        check_refused(again, "view 1 alone", unwritten="other")


@pytest.mark.parametrize("content", ["", "[1]", '{"source": "a"}', '{"source": -1}', "[" * 100_000])
def test_a_damaged_record_of_a_method_is_named(there, content):
    whole_folder(there)
    (there / "mine/method.json").write_text(content)
    said = enr("eval", "toy.h5", "--predictions", "mine", "--out", "out")
    check_refused(said, "method.json is damaged", unwritten="out")
