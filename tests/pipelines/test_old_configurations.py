"""A `config.yaml` of an earlier version is read as it was meant; text is read as its field's type everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from enr.errors import EnrError
from enr.pipelines.config import Config, override, read_preset, validated_train

WRITTEN = Path(__file__).parent / "written_before" / "config-0.1.0.yaml"


def test_a_run_of_the_first_version_is_read():
    written = yaml.safe_load(WRITTEN.read_text(encoding="utf-8"))
    config = Config.from_dict(written)
    kept = config.to_dict()
    for section in ("model", "train"):
        for key, value in written[section].items():
            found = kept[section][key]
            found = list(found) if isinstance(found, tuple) else found
            assert (value.items() <= found.items()) if isinstance(value, dict) else found == value, key
    assert config.model.depth_range == "fixed" and config.train.muon_learning_rate == 0


def test_a_missing_section_is_said():
    with pytest.raises(EnrError, match="no section train"):
        Config.from_dict({"model": yaml.safe_load(WRITTEN.read_text(encoding="utf-8"))["model"]})


@pytest.mark.parametrize("given", [["learning_rate=1e-4"], {"learning_rate": "1e-4"}, {"learning_rate": 1e-4}])
def test_a_number_is_the_same_from_the_command_line_yaml_and_python(given):
    assert validated_train(override(read_preset("smoke"), given).train).learning_rate == 1e-4


@pytest.mark.parametrize("given", [["learning_rate=inf"], {"learning_rate": float("inf")}, {"learning_rate": ".inf"}])
def test_an_infinite_rate_is_refused_the_same_way(given):
    with pytest.raises(EnrError, match=r"train.learning_rate is '?inf'?; it must be a finite number"):
        validated_train(override(read_preset("smoke"), given).train)
