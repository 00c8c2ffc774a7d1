"""From meshes to a table in one call, and on from wherever it was stopped; the renderer is stood in for by toys."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("torch", reason="needs enr[train]")
pytest.importorskip("trimesh", reason="needs enr[datagen]")
if importlib.util.find_spec("bpy") is None:
    pytest.skip("needs enr[datagen]", allow_module_level=True)

from tests.command_line import enr
from tests.pipelines.experiments.reproduce_content import CONTENT
from tests.pipelines.toy_shards import Toy, write_toy

from enr.errors import EnrError
from enr.pipelines.experiments import experiment_plan as reproduce_plan
from enr.pipelines.experiments import reproduce as module
from enr.pipelines.experiments.begun import RECORD_NAME, keep_record
from enr.pipelines.experiments.config import at_scale, merged
from enr.pipelines.experiments.experiment_plan import ReproduceSettings, make_plan
from enr.pipelines.experiments.reproduce import Reproduced, reproduce
from enr.pipelines.training.loop import DivergedError


class Calls(list[str]):
    """What was done, in order."""

    def wrap(self, name: str, function):
        def called(*arguments, **options):
            self.append(name)
            return function(*arguments, **options)

        return called


def toy_generate(settings, progress=False):
    """Shards of toys where `enr datagen` would have put those of meshes."""
    path = settings.out / f"{settings.poses.group}-00000-of-00001.h5"
    made = not path.exists()
    if made:
        path.parent.mkdir(parents=True, exist_ok=True)
        toy = Toy(views=settings.views, size_px=settings.render.width_px, group=settings.poses.group)
        write_toy(path, toy)
    return SimpleNamespace(scenes=5, images=5 * settings.views, images_made=20 * made, failures={})


def use(patch: pytest.MonkeyPatch, change: dict | None = None) -> Calls:
    """Put toys and the small experiment in place of renders and of the project's experiments."""
    calls = Calls()
    patch.setattr(reproduce_plan, "read_experiment", lambda *_: at_scale(merged(CONTENT, change or {}), "tiny"))
    patch.setattr(module, "generate", calls.wrap("generate", toy_generate))
    patch.setattr(module, "train", calls.wrap("train", module.train))
    patch.setattr(module, "evaluate", calls.wrap("evaluate", module.evaluate))
    return calls


def settings_in(folder: Path) -> ReproduceSettings:
    return ReproduceSettings("boxes", out=folder / "out", show_progress=False)


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> tuple[ReproduceSettings, Reproduced, Calls, list[str]]:
    """The small experiment, from shapes to its table."""
    said: list[str] = []
    settings = settings_in(tmp_path_factory.mktemp("reproduce"))
    with pytest.MonkeyPatch.context() as patch:
        calls = use(patch)
        result = reproduce(settings, said.append)
    return settings, result, calls, said


def test_it_makes_trains_and_measures_each_once(done):
    _, result, calls, _ = done
    assert result.is_finished
    assert calls == ["generate", *["train"] * 4, *["evaluate"] * 4]


def test_the_table_has_a_row_for_each_variant_and_floor_with_the_spread_over_seeds(done):
    _, result, _, _ = done
    rows = [line for line in result.table.read_text().splitlines() if line.startswith("|")]
    assert [row.split("|")[1].strip() for row in rows[2:]][:2] == ["slowly", "tuned"]
    assert len(rows) == 2 + 2 + 3
    assert "±" in rows[2] and "±" not in rows[-1]


def test_its_numbers_are_those_of_the_evaluations(done):
    settings, _, _, _ = done
    table = json.loads((settings.folder / "table.json").read_text())
    (section,) = table["tables"]
    for row in section["rows"]:
        for seed, found in zip(row["seeds"], row["by_seed"]["psnr_db"], strict=True):
            report = settings.folder / "evals" / f"{row['variant']}-seed{seed}" / "unseen" / "report.json"
            assert found == json.loads(report.read_text())["results"][0]["scores"]["model"]["psnr_db"]
        assert row["by_seed"]["steps"] == [3.0, 3.0]


def test_the_facts_say_how_to_make_it_again(done):
    settings, result, _, _ = done
    text = result.table.read_text()
    assert f"enr reproduce boxes --scale tiny --out {settings.out}" in text
    assert all(f"- {name}: " in text for name in ("hardware", "made by", "trained", "seeds", "minutes"))
    assert "rot 3 train + 1 val + 1 test scenes, 20 pictures of 16x16 px" in text
    assert "- meshes: 5 built-in shapes" in text and "- views of each mesh: boxes 4" in text


def test_a_tuned_variant_starts_from_the_other_of_its_seed(done):
    settings, _, _, _ = done
    for seed in (0, 1):
        (config,) = (settings.folder / "runs" / f"tuned-seed{seed}").glob("*/config.yaml")
        assert f"slow-seed{seed}" in config.read_text()


def test_a_second_time_trains_and_measures_nothing(done, monkeypatch):
    settings, result, _, _ = done
    before = result.table.read_bytes()
    calls = use(monkeypatch)
    again = reproduce(settings, lambda _: None)
    assert calls == ["generate"]
    assert again == result and result.table.read_bytes() == before


def test_a_wish_to_stop_is_heard_before_the_next_step(tmp_path, monkeypatch):
    calls = use(monkeypatch)
    result = reproduce(settings_in(tmp_path), lambda _: None, should_stop=lambda: len(calls) == 2)
    assert calls == ["generate", "train"]
    assert not result.is_finished


@pytest.mark.parametrize("change", [{"minutes": 9.0}, {"meshes": True}, {"assignments": ("learning_rate=1e-5",)}])
def test_what_another_command_began_is_refused_before_the_first_step(done, monkeypatch, tmp_path, change):
    settings, _, _, _ = done
    calls = use(monkeypatch)
    if "meshes" in change:
        (tmp_path / "other.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 2 0\nf 1 2 3\n")
        change = {"meshes": (tmp_path,)}
    begun = rf"{settings.folder} was begun with `enr reproduce boxes .*`; give another --out, or remove it\.$"
    with pytest.raises(EnrError, match=begun):
        reproduce(dataclasses.replace(settings, **change), lambda _: None)
    assert calls == []


def test_an_experiment_of_another_version_is_refused_as_such(done, monkeypatch):
    settings, _, _, _ = done
    calls = use(monkeypatch, {"set": {"steps": 4}})
    with pytest.raises(EnrError, match="` of another version; give another --out"):
        reproduce(settings, lambda _: None)
    assert calls == []


def test_other_workers_and_another_way_to_name_the_folder_are_no_difference(done, monkeypatch):
    settings, _, _, _ = done
    calls = use(monkeypatch, {"datagen": {"workers": 2}})
    monkeypatch.chdir(settings.folder.parent)
    reproduce(dataclasses.replace(settings, workers=3), lambda _: None)
    assert calls == ["generate"]
    keep_record(make_plan(dataclasses.replace(settings, out=Path("out"))))


def test_a_folder_without_a_record_is_refused_by_its_steps(done, monkeypatch):
    settings, _, _, _ = done
    use(monkeypatch)
    record = settings.folder / RECORD_NAME
    kept = record.read_bytes()
    record.unlink()
    try:
        with pytest.raises(EnrError, match="begun by another command"):
            reproduce(dataclasses.replace(settings, minutes=9.0), lambda _: None)
        assert not record.exists()
    finally:
        record.write_bytes(kept)


def test_a_further_seed_adds_to_what_is_there(done, monkeypatch):
    settings, _, _, _ = done
    calls = use(monkeypatch)
    reproduce(dataclasses.replace(settings, seeds=1), lambda _: None)
    assert calls == ["generate"]


ONE = {"seeds": [0], "variants": {"tuned": None}}


def test_a_stopped_training_goes_on_where_it_was(tmp_path, monkeypatch):
    calls = use(monkeypatch, ONE)
    train = module.train
    monkeypatch.setattr(module, "train", lambda asked, say: train(asked, say, stop=lambda step: step == 1))
    stopped = reproduce(settings_in(tmp_path), lambda _: None)
    assert stopped == Reproduced(None, is_finished=False)
    monkeypatch.setattr(module, "train", train)
    said: list[str] = []
    assert reproduce(settings_in(tmp_path), said.append).is_finished
    assert any("after step 1" in line for line in said)
    assert calls.count("train") == 2 and calls.count("evaluate") == 1
    assert len(list((tmp_path / "out" / "runs" / "slow-seed0").glob("*-slow"))) == 1


def test_a_run_that_ended_just_before_it_was_noted_is_not_trained_again(tmp_path, monkeypatch):
    calls = use(monkeypatch, ONE)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_write_done", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            reproduce(settings_in(tmp_path), lambda _: None)
    assert reproduce(settings_in(tmp_path), lambda _: None).is_finished
    assert calls.count("train") == 1


def test_a_diverged_training_is_a_result(tmp_path, monkeypatch):
    change = {"seeds": [0], "variants": {"tuned": {"init": ""}}}
    calls = use(monkeypatch, change)
    train = module.train

    def diverging(asked, say):
        if asked.name == "slow":
            raise DivergedError("The training diverged at step 2 (the loss is nan).")
        return train(asked, say)

    monkeypatch.setattr(module, "train", diverging)
    result = reproduce(settings_in(tmp_path), lambda _: None)
    assert "1 diverged" in result.table.read_text()
    assert calls.count("evaluate") == 1
    calls.clear()
    assert reproduce(settings_in(tmp_path), lambda _: None).is_finished
    assert calls == ["generate"]


def test_two_at_once_do_not_mix(tmp_path, monkeypatch):
    use(monkeypatch, ONE)
    (tmp_path / "out").mkdir()
    held = module.lock(tmp_path / "out" / ".lock")
    with held, pytest.raises(EnrError, match="Another enr reproduce"):
        reproduce(settings_in(tmp_path), lambda _: None)


def test_without_a_picture_it_ends_in_one_sentence(tmp_path, monkeypatch):
    use(monkeypatch, ONE)
    nothing = SimpleNamespace(scenes=0, failures={"chair": "Blender crashed"})
    monkeypatch.setattr(module, "generate", lambda *_, **__: nothing)
    with pytest.raises(EnrError, match=r"Blender crashed.*enr doctor"):
        reproduce(settings_in(tmp_path), lambda _: None)


def test_a_full_disk_ends_in_one_sentence(tmp_path, monkeypatch):
    use(monkeypatch, ONE)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "generate", full)
    with pytest.raises(EnrError, match=r"No space left.*the same command goes on"):
        reproduce(settings_in(tmp_path), lambda _: None)


def test_an_interrupted_command_says_how_to_go_on(tmp_path, monkeypatch):
    use(monkeypatch, ONE)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "generate", interrupted)
    result = enr("reproduce", "boxes", "--out", str(tmp_path / "out"))
    assert result.exit_code == 130
    assert "the same command goes on" in result.output


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_command_makes_a_table_of_built_in_shapes(tmp_path):
    """Rendered by Blender: the real thing, minutes."""
    out = str(tmp_path / "out")
    result = enr("reproduce", "few-scenes", "--minutes", "0.05", "--out", out)
    assert result.exit_code == 0, result.output
    table = (tmp_path / "out" / "table.md").read_text()
    assert table.count("1 object") == 2 and table.count("10 objects") == 2
    assert "Three patches of 15 degrees" in table
