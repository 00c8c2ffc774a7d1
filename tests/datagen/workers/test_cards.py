"""One worker a graphics card, and no other card for it; asked of a machine that need not have any."""

from __future__ import annotations

import dataclasses

import pytest
from tests.command_line import check_refused, enr
from tests.datagen.conftest import small_set, write_mesh

from enr.datagen import generate as module
from enr.datagen.generate import generate
from enr.datagen.settings import GenerateSettings, Look, PoolSettings
from enr.datagen.workers import cards
from enr.datagen.workers.cards import count_cards, pins_of, with_cards
from enr.datagen.workers.pool import render_all


@pytest.fixture
def two_cards(monkeypatch) -> None:
    """A machine with two cards."""
    for name in set(cards.PIN_OF_DEVICE.values()):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cards, "count_cards", lambda device, blender: 2)
    monkeypatch.setattr(module, "check_look", lambda look, blender: None)


@pytest.fixture
def settings(tmp_path, fake_worker, two_cards) -> GenerateSettings:
    """Eight meshes for CUDA, drawn by workers that say which cards they see."""
    for number in range(8):
        write_mesh(tmp_path / "meshes", f"mesh{number}")
    whole = small_set(tmp_path / "meshes", views=2, per_shard=4)
    return dataclasses.replace(whole, render=dataclasses.replace(whole.render, look=Look(device="cuda")))


@pytest.mark.parametrize(
    ("device", "variable"),
    [("cuda", "CUDA_VISIBLE_DEVICES"), ("optix", "CUDA_VISIBLE_DEVICES"), ("hip", "HIP_VISIBLE_DEVICES")],
)
@pytest.mark.parametrize("each", [1, 3])
def test_every_card_has_its_workers_and_every_worker_one_card(two_cards, device, variable, each):
    pool = with_cards(PoolSettings(workers=7, workers_per_device=each), device)
    assert pool.workers == len(pool.pins) == 2 * each
    assert pool.pins[:2] == (f"{variable}=0", f"{variable}=1")
    assert [pool.pins.count(pin) for pin in set(pool.pins)] == [each, each]


def test_the_cpu_is_left_alone(two_cards):
    pool = PoolSettings(workers=7)
    assert with_cards(pool, "cpu") == pool


def test_metal_has_nothing_to_pin(two_cards):
    assert with_cards(PoolSettings(workers_per_device=2), "metal").pins == ("",) * 4


def test_cards_that_a_cluster_gave_are_dealt_on(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-5f1a")
    assert pins_of("cuda", 2) == ("CUDA_VISIBLE_DEVICES=3", "CUDA_VISIBLE_DEVICES=GPU-5f1a")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert pins_of("cuda", 2) == ("CUDA_VISIBLE_DEVICES=0", "CUDA_VISIBLE_DEVICES=1")


def test_each_worker_sees_its_own_card_alone(settings, tmp_path):
    views = [{"seed": 1}]
    meshes = sorted((tmp_path / "meshes").iterdir())
    jobs = [
        {"scene_id": path.stem, "mesh": str(path), "width_px": 4, "height_px": 4, "views": views} for path in meshes
    ]
    pool = dataclasses.replace(with_cards(PoolSettings(), "cuda"), meshes_per_worker=1)
    cards_of = [(one.facts["pid"], one.facts["cards"]) for one in render_all(jobs, pool)]
    assert len(cards_of) == 8 and {card for _, card in cards_of} == {"0", "1"}


def test_the_run_says_how_many_workers_rendered_on_how_many_cards(settings, capfd):
    summary = generate(settings, progress=True)
    assert summary.cards == 2
    assert "2 workers on 2 graphics cards (cuda)" in capfd.readouterr().err


def test_pictures_do_not_depend_on_the_number_of_workers(settings, tmp_path):
    more = dataclasses.replace(settings, pool=PoolSettings(workers_per_device=2), out=tmp_path / "more")
    first, second = generate(settings), generate(more)
    assert [path.read_bytes() for path in first.shards] == [path.read_bytes() for path in second.shards]


@pytest.mark.parametrize("answer", ['{"version": "5.0.1", "devices": [{"name": "a", "kind": "CUDA"}]}', "no Blender"])
def test_blender_is_asked_for_the_cards(tmp_path, monkeypatch, answer):
    script = tmp_path / "devices.py"
    script.write_text(f"print('noise'); print({answer!r})")
    monkeypatch.setattr(cards, "DEVICES_SCRIPT", script)
    assert count_cards("cuda") == answer.count("CUDA")
    assert count_cards("hip") == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--device", "cuda", "--workers", "2"), "give --workers-per-device"),
        (("--workers-per-device", "2"), "on the CPU give --workers"),
    ],
)
def test_processes_are_counted_where_they_run(settings, tmp_path, words, sentence):
    check_refused(enr("datagen", tmp_path / "meshes", "--out", tmp_path / "o", *words), sentence)
