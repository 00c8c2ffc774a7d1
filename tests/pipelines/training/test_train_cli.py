"""`enr train` as a user types it: what it says, and what it refuses in one sentence without leaving anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py
from tests.command_line import check_refused, enr
from tests.pipelines.toy_shards import Toy, make_toy, write_toy

from enr.pipelines.training.runs import latest_run
from enr.shards import Shard, write_shard

QUICK = [
    part
    for value in ("batch_size=2", "validation_pictures=4", "frames=2", "frame_scenes=2", "validations=1", "threads=1")
    for part in ("--set", value)
]


def check_untrained(*arguments: str, words: Sequence[str]) -> None:
    """The command is refused in a sentence with these words, and there is no run."""
    check_refused(enr("train", *arguments), *words, unwritten="runs")


def test_it_trains_and_names_the_run(here):
    result = enr("train", "shards/rot-00000-of-00001.h5", "--preset", "smoke", "--set", "steps=2", *QUICK)
    assert result.exit_code == 0, result.output
    assert str(latest_run()) in result.output


def test_without_arguments_it_takes_the_shards_folder_and_chooses_a_preset(here):
    result = enr("train", "--set", "steps=2", *QUICK, "--set", "device=cpu")
    assert result.exit_code == 0, result.output
    assert "Preset small-64, adapted to 16x16 px" in result.output


def write_single_val(path, splits, group="rototrans"):
    """A shard whose last scene has lost all views but its first."""
    toy = Toy(splits=splits, group=group)
    shard, kept = make_toy(toy), (len(splits) - 1) * toy.views + 1
    views = {name: rows[:kept] for name, rows in shard.views.items()}
    write_shard(path, Shard(shard.meta, shard.images[:kept], views, shard.scenes), compression="none")


def test_held_out_scenes_of_a_single_view_are_left_out_with_a_word(here):
    write_single_val(Path("mixed.h5"), ("train", "val", "val"))
    result = enr("train", "mixed.h5", "--preset", "smoke", "--set", "steps=1", *QUICK)
    assert result.exit_code == 0, result.output
    assert "1 scene held out for validation has a single view" in result.output


def test_bad_input_ends_in_one_sentence_and_leaves_nothing(here):
    write_toy(Path("single.h5"), Toy(views=1))
    write_toy(Path("large.h5"), Toy(size_px=24))
    write_single_val(Path("single-val.h5"), ("train", "train", "val"))
    write_toy(Path("untrained.h5"), Toy(splits=("val", "test")))
    write_toy(Path("newer.h5"), Toy())
    with h5py.File("newer.h5", "a") as file:
        file.attrs["schema_version"] = 99
    content = Path("single.h5").read_bytes()
    Path("cut.h5").write_bytes(content[: len(content) // 2])
    Path("text.h5").write_text("hello")
    good = "shards/rot-00000-of-00001.h5"
    check_untrained("text.h5", words=["text.h5", "HDF5"])
    check_untrained("cut.h5", words=["cut.h5", "truncated"])
    check_untrained("missing.h5", words=["missing.h5"])
    check_untrained(good, "large.h5", words=["resolution", "16x16", "24x24"])
    check_untrained(good, "newer.h5", words=["schema 99"])
    check_untrained("single.h5", words=["single view", "--views 2"])
    check_untrained("single-val.h5", words=["single view", "val"])
    check_untrained(good, "--name", "a/b", words=["a/b", "slash"])
    check_untrained(good, "--runs", "text.h5", words=["text.h5", "--runs"])
    check_untrained(good, "--runs", "text.h5/deeper", words=["text.h5", "--runs"])
    check_untrained("--resume", "--runs", "text.h5", words=["text.h5", "--runs"])
    check_untrained("untrained.h5", words=["no scene", "train"])
    check_untrained(good, "--set", "leaning_rate=1", words=["did you mean learning_rate?"])
    check_untrained(good, "--set", "batch_size=x", words=["batch_size"])
    check_untrained(good, "--set", "batch_size=1000000000", words=["batch_size=1000000000", "GiB of memory are free"])
    check_untrained(good, "--set", "seed=99999999999999999999", words=["seed", "2**63"])
    for option, setting in (
        (("--batch-size", "4"), "batch_size=8"),
        (("--batch-size", "auto"), "train.batch_size=8"),
        (("--compile", "on"), "compile=off"),
        (("--max-minutes", "0.2"), "max_minutes=0.1"),
    ):
        check_untrained(good, *option, "--set", setting, words=[option[0], f"--set {setting}", "contradict"])
    for shape in ("64", "[3,16]", "[3,x,16]"):
        check_untrained(
            good, "--preset", "chairs-64", "--set", f"image_shape={shape}", words=["image_shape", "[3,64,64]"]
        )
    check_untrained(
        good, "--preset", "smoke", "--set", "image_shape=[3,64,64]", words=["image_shape=[3,16,16]", "shards"]
    )
    check_untrained(good, "--preset", "chairs-128", words=["128x128", "16x16"])
    check_untrained(good, "--preset", "smal-64", words=["did you mean small-64?"])
    check_untrained("--resume", words=["No earlier run"])
    check_untrained("--resume", "shards", words=["not a run"])
    check_untrained("--resume", good, words=["not a run"])


def test_without_shards_it_says_what_to_give(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_untrained(words=["enr datagen"])


def test_a_failed_resume_leaves_the_run_as_it_was(here):
    assert enr("train", "--preset", "smoke", "--set", "steps=2", *QUICK).exit_code == 0
    before = {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*")}
    result = enr("train", "--resume", "--set", "learning_rate=3")
    assert result.exit_code == 2
    assert {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*")} == before
