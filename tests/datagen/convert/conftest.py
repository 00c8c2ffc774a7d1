"""What the tests of conversions share: a folder to lay posed pictures in, and the shards that are made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from enr.datagen.convert.conversion import ConvertSettings, convert
from enr.shards import Shard, read_shard


@pytest.fixture
def there(tmp_path):
    """A folder whose own name says nothing of a split."""
    return tmp_path / "posed"


def converted(folder: Path, layout, **options) -> list[Shard]:
    """The shards of a folder, written beside it."""
    settings = ConvertSettings(folder, layout, folder.parent / "shards", **options)
    return [read_shard(path) for path in convert(settings).shards]
