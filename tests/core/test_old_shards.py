"""Shards that earlier versions wrote are read for what they said.

The files of `written_before/` are such shards as their own version's writer left them, byte for byte (LZMA, base64):
schema 1 as version 0.1.0 wrote it before there were passes and hashes, schema 2 as it wrote it afterwards.
"""

from __future__ import annotations

import base64
import lzma
from pathlib import Path

import numpy as np
import pytest

from enr.camera import intrinsics, orbit_camera
from enr.datagen.failures import from_config
from enr.shards import Shard, check_hashes, read_meta, read_shard, read_tables
from enr.shards.checks import check_intact

FOLDER = Path(__file__).parent / "written_before"
VERSIONS = (1, 2)
AZIMUTH_DEG, ELEVATION_DEG = np.array([10.0, -120.0]), np.array([20.0, -35.0])
FACTS = '{"faces": 12, "licence": null}'
TARGET_POINT = np.array([[0.1, 0.2, -0.3], [0.0, -0.1, 0.05]])


@pytest.fixture(params=VERSIONS, ids=lambda version: f"schema{version}")
def old(request, tmp_path) -> tuple[int, Path]:
    """A schema's number and a shard of it."""
    text = (FOLDER / f"shard-schema-{request.param}.txt").read_text(encoding="ascii")
    path = tmp_path / "rototrans-00000-of-00001.h5"
    path.write_bytes(lzma.decompress(base64.b64decode(text)))
    return request.param, path


def test_cameras_pictures_and_names_are_what_was_written(old):
    version, path = old
    shard = read_shard(path)
    assert shard.meta == read_meta(path)
    assert (shard.meta.schema_version, shard.meta.group, shard.meta.seed) == (version, "rototrans", 7)
    assert (shard.meta.background, shard.meta.blender_version) == ((1.0, 0.5, 0.0), "5.0.1")
    assert from_config(shard.meta.config)["bad"].reason == "no faces"
    np.testing.assert_array_equal(shard.images, np.arange(96, dtype=np.uint8).reshape(2, 3, 4, 4))
    views, scenes = shard.views, shard.scenes
    np.testing.assert_array_equal(views["K"], [intrinsics(5.0, 4, 3)] * 2)
    wanted = orbit_camera(AZIMUTH_DEG, ELEVATION_DEG, 2.0, TARGET_POINT)
    np.testing.assert_allclose(views["world_from_camera"], wanted, atol=1e-15)
    assert scenes["scene_id"].tolist() == ["chair é"] and views["scene_id"].tolist() == ["chair é"] * 2
    assert (scenes["normalise_scale"].tolist(), scenes["normalise_offset"].tolist()) == ([0.5], [[1.0, 2.0, 3.0]])


def test_what_came_later_is_filled_with_what_it_would_have_said(old):
    version, path = old
    shard = read_shard(path)
    _, views, scenes = read_tables(path)
    later = {
        1: (["train", "train"], [0.0, 0.0], [True, True], [2, 0], ["{}"], set()),
        2: (["train", "test"], [0.0, 3.0], [False, False], [2, 1], [FACTS], {"depth", "mask"}),
    }[version]
    assert told(views, scenes, shard) == later


def told(views: dict, scenes: dict, shard: Shard) -> tuple:
    """What schema 2 added."""
    unknown = np.isnan(views["clipped_share"]).tolist()
    columns = [views[name].tolist() for name in ("split", "roll_deg")]
    return (*columns, unknown, views["flags"].tolist(), scenes["facts"].tolist(), set(shard.passes))


def test_they_are_intact_and_a_changed_byte_is_noticed_where_there_are_hashes(old):
    version, path = old
    check_intact([path])
    content = bytearray(path.read_bytes())
    start = content.index(bytes(range(96)))
    content[start + 5] ^= 1
    path.write_bytes(content)
    assert bool(check_hashes(path)) == (version == 2)
