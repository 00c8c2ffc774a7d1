"""A preset, what is set over it and the shards' camera give one configuration, and whatever does not fit is named."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.pipelines.toy_shards import Toy, write_toy

from enr.camera import focal_px_from_lens, invert_rigid
from enr.errors import EnrError
from enr.pipelines import machine
from enr.pipelines.config import Config, known_keys, override, preset_names, read_preset, resolve, validated_train
from enr.pipelines.data.views import ViewSet
from enr.pipelines.training.loop import Moment, Ticker, learning_rate, progress
from enr.pipelines.training.prepare import camera_of, choose_preset, resolve_config

CAMERA = {"focal_px": 88.9, "radius": 2.0, "near": 0.7, "far": 3.3, "background": [1, 1, 1]}
CPU, GPU = torch.device("cpu"), torch.device("cuda")


def config_of(name="small-64", *assignments):
    preset = read_preset(name)
    return resolve(override(preset, assignments), CAMERA, preset.size_px)


@pytest.fixture(scope="module")
def view_set(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    write_toy(folder / "a.h5", Toy(size_px=64, views=8))
    return ViewSet.open([folder])


def test_the_promised_presets_exist():
    assert {"smoke", "small-64", "chairs-64", "chairs-128"} <= set(preset_names())


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_resolves_and_survives_yaml(name):
    config = config_of(name)
    assert config.model.image_shape[1:] == read_preset(name).size_px
    assert Config.from_dict(yaml.safe_load(yaml.safe_dump(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("assignment", "place", "value"),
    [
        ("learning_rate=1e-4", ("train", "learning_rate"), 1e-4),
        ("train.learning_rate=0.5", ("train", "learning_rate"), 0.5),
        ("loss.ssim=0", ("train", "loss", "ssim"), 0.0),
        ("model.warp=rigid", ("model", "warp"), "rigid"),
        ("output=linear", ("model", "output"), "linear"),
        ("max_minutes=null", ("train", "max_minutes"), None),
        ("strides_2d=[1,2,2,1,1,1,1]", ("model", "strides_2d"), [1, 2, 2, 1, 1, 1, 1]),
        ("near=0.5", ("model", "near"), 0.5),
    ],
)
def test_an_override_reaches_its_place(assignment, place, value):
    found = override(read_preset("small-64"), [assignment])
    section = getattr(found, place[0])
    for part in place[1:]:
        section = section[part]
    assert section == value or (isinstance(value, float) and float(section) == value)


@pytest.mark.parametrize(
    "assignments",
    [
        ["loss={l1: 0.5, ssim: 0}"],
        ["train.loss={l1: 0.5, ssim: 0}"],
        {"loss": {"l1": 0.5, "ssim": 0}},
        {"train": {"loss": {"l1": 0.5}}, "loss.ssim": 0},
        [("loss", {"l1": 0.5, "ssim": 0})],
    ],
)
def test_a_section_may_be_given_as_a_table(assignments):
    before, after = (resolve_train(given).loss for given in ((), assignments))
    assert (after.l1, after.ssim, after.l2) == (0.5, 0, before.l2)


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("loss=3", r"loss is a section; write an entry of it, such as loss\.\w+=0"),
        ("loss={}", "loss is a section"),
        ("loss={l3: 1}", r"did you mean loss\.l"),
        ("=3", r"^--set is given no key; write --set key=value\.$"),
        ("lr=1e-3", r"did you mean learning_rate\?"),
        ("nonsense=1", r"does not know 'nonsense'; docs/training\.md names all keys"),
    ],
)
def test_what_is_no_key_is_said_shortly(assignment, said):
    with pytest.raises(EnrError, match=said):
        override(read_preset("small-64"), [assignment])


def resolve_train(assignments):
    return validated_train(override(read_preset("small-64"), assignments).train)


def test_overrides_leave_the_preset_file_and_each_other_alone():
    before = config_of()
    changed = config_of("small-64", "loss.ssim=0.5", "loss.l1=2", "batch_size=3")
    assert (changed.train.loss.ssim, changed.train.loss.l1, changed.train.batch_size) == (0.5, 2.0, 3)
    assert changed.train.loss.l2 == before.train.loss.l2
    assert changed.model == before.model
    assert config_of() == before


def test_the_last_of_two_overrides_wins():
    assert config_of("small-64", "batch_size=3", "batch_size=5").train.batch_size == 5


@given(st.sampled_from(sorted(known_keys())), st.integers(0, 30), st.sampled_from("xyz_"))
def test_a_misspelt_key_is_refused_with_a_known_one(key, place, letter):
    wrong = key[:place] + letter + key[place:]
    if wrong in known_keys():
        return
    with pytest.raises(EnrError) as caught:
        override(read_preset("small-64"), [f"{wrong}=1"])
    assert wrong in str(caught.value)
    assert any(known in str(caught.value) for known in known_keys())


@pytest.mark.parametrize(
    ("wrong", "right"), [("leaning_rate", "learning_rate"), ("loss.sim", "loss.ssim"), ("model.wrap", "model.warp")]
)
def test_the_nearest_key_is_named(wrong, right):
    with pytest.raises(EnrError, match=f"did you mean {right}\\?"):
        override(read_preset("small-64"), [f"{wrong}=1"])


@pytest.mark.parametrize(
    "assignment",
    [
        "batch_size",
        "batch_size=many",
        "batch_size=0",
        "batch_size=1.5",
        "learning_rate=-1",
        "steps=0",
        "decay=0",
        "device=tpu",
        "precision=float8",
        "warp=cube",
        "strides_2d=[1,2",
        "max_minutes=0",
        "threads=1025",
        "threads=99999999999999",
        "loss.scene=true",
        "batch_size=yes",
        "seed=false",
        "max_minutes=true",
    ],
)
def test_a_value_that_does_not_fit_is_refused_in_one_sentence(assignment):
    with pytest.raises(EnrError) as caught:
        config_of("small-64", assignment)
    assert "\n" not in str(caught.value)
    assert assignment.split("=")[0] in str(caught.value)


def test_weights_of_nothing_are_named():
    with pytest.raises(EnrError, match=r"loss\.l1, loss\.l2, loss\.ssim and loss\.lpips are all 0"):
        config_of("small-64", "loss.l1=0", "loss.l2=0", "loss.ssim=0")


def test_a_training_has_some_end():
    assert config_of("small-64", "steps=null").train.max_minutes
    with pytest.raises(EnrError, match="--max-minutes M, or a number of steps"):
        config_of("small-64", "steps=null", "max_minutes=null")


def test_a_negative_loss_weight_is_refused():
    with pytest.raises(EnrError, match=r"train\.loss\.cycle is -1; it must be at least 0"):
        config_of("small-64", "loss.cycle=-1")


def test_an_unknown_preset_is_refused_with_the_nearest():
    with pytest.raises(EnrError, match="did you mean small-64"):
        read_preset("smal-64")


def test_a_preset_for_another_size_is_refused(view_set):
    with pytest.raises(EnrError, match=r"chairs-128 is for pictures of 128x128 px.*64x64"):
        resolve_config(view_set, "chairs-128", [])


def test_a_preset_is_adapted_when_asked_for(view_set):
    config, _ = resolve_config(view_set, "chairs-128", ["image_shape=[3,64,64]"])
    assert config.model.image_shape == (3, 64, 64)


@pytest.mark.parametrize(
    ("size_px", "device", "name"),
    [
        ((64, 64), CPU, "small-64"),
        ((64, 64), GPU, "chairs-64"),
        ((128, 128), GPU, "chairs-128"),
        ((128, 128), CPU, "small-64"),
        ((32, 48), GPU, "small-64"),
        ((32, 32), CPU, "small-32"),
    ],
)
def test_a_preset_is_chosen_by_size_and_machine_and_it_says_so(size_px, device, name):
    preset, words = choose_preset(size_px, device)
    assert preset.name == name
    assert preset.size_px == size_px
    assert name in words
    assert f"{size_px[1]}x{size_px[0]}" in words


def test_the_camera_comes_from_the_shards(view_set):
    config, _ = resolve_config(view_set, None, ["device=cpu"])
    depth = invert_rigid(view_set.views["world_from_camera"])[:, 2, 3]
    assert config.model.focal_px == pytest.approx(focal_px_from_lens(64))
    assert config.model.background == (1.0, 1.0, 1.0)
    assert config.model.near <= depth.min() - 0.5 + 1e-9
    assert config.model.far >= depth.max() + 0.5 - 1e-9


def test_different_lenses_are_refused(view_set):
    lenses = view_set.views["K"].copy()
    view_set.views["K"][3, 0, 0] += 5
    try:
        with pytest.raises(EnrError, match="lenses differ"):
            camera_of(view_set)
    finally:
        view_set.views["K"][:] = lenses


def test_a_shifted_lens_is_refused(view_set):
    lenses = view_set.views["K"].copy()
    view_set.views["K"][:, 0, 2] += 1
    try:
        with pytest.raises(EnrError, match="principal point"):
            camera_of(view_set)
    finally:
        view_set.views["K"][:] = lenses


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_said(view_set):
    with pytest.raises(EnrError, match="no GPU"):
        resolve_config(view_set, None, ["device=cuda"])


def test_precision_is_resolved():
    assert machine.choose_precision("float32", CPU) == "float32"
    assert machine.choose_precision("auto", CPU) in ("float32", "bfloat16")


@given(st.integers(0, 1000), st.floats(0, 7200), st.integers(1, 1000), st.one_of(st.none(), st.floats(0.1, 100)))
def test_progress_is_that_of_the_nearest_limit(step, elapsed_s, steps, max_minutes):
    config = validated_train({"steps": steps, "max_minutes": max_minutes})
    share = progress(config, Moment(step, elapsed_s))
    by_time = 0.0 if max_minutes is None else elapsed_s / 60 / max_minutes
    assert share == pytest.approx(min(1.0, max(step / steps, by_time)))


def test_the_learning_rate_rises_stays_and_falls():
    config = validated_train({"steps": 1000, "warmup_steps": 100, "decay": 0.3, "learning_rate": 2.0})
    rates = [learning_rate(config, Moment(step)) for step in range(1001)]
    assert rates[0] == pytest.approx(2.0 / 100)
    assert rates[99:701] == pytest.approx([2.0] * 602)
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[700:]))
    assert rates[1000] == 0.0


@given(st.integers(1, 30), st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_a_ticker_never_fires_more_often_than_asked_and_always_at_the_end(count, shares):
    ticker = Ticker(count, 0.0)
    fired = [ticker.due(share) for share in [*sorted(shares), 1.0]]
    assert sum(fired) <= count
    assert any(fired)


@given(st.integers(1, 30))
def test_a_ticker_fires_as_often_as_asked_when_steps_are_small(count):
    ticker = Ticker(count, 0.0)
    assert sum(ticker.due(step / 100_000) for step in range(1, 100_001, 10)) + ticker.due(1.0) == count


def test_a_resumed_ticker_does_not_repeat_itself():
    whole, first = Ticker(7, 0.0), Ticker(7, 0.0)
    expected = [whole.due(step / 50) for step in range(1, 51)]
    before = [first.due(step / 50) for step in range(1, 24)]
    second = Ticker(7, 23 / 50)
    assert before + [second.due(step / 50) for step in range(24, 51)] == expected


def test_the_page_about_training_names_every_key_and_preset():
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    keys = [".".join(path[1:]) for path in known_keys().values() if path[0] == "train"]
    assert [key for key in keys if f"`{key}`" not in page] == []
    assert [name for name in preset_names() if f"| `{name}` |" not in page] == []
