"""The HDF5 shard: what it holds (`layout`), its one writer and one reader (`hdf5`), its hashes, and its check."""

from enr.shards.hashes import values_sha256
from enr.shards.hdf5 import (
    NormalsSpace,
    Shard,
    ShardMeta,
    Table,
    check_hashes,
    image_offset,
    open_shard,
    read_meta,
    read_shard,
    read_tables,
    write_shard,
)
from enr.shards.layout import FLAGS, PASS_SHAPES, SCENE_SHAPES, SCHEMA_VERSION, SPLITS, VIEW_SHAPES, Split

__all__ = [
    "FLAGS",
    "PASS_SHAPES",
    "SCENE_SHAPES",
    "SCHEMA_VERSION",
    "SPLITS",
    "VIEW_SHAPES",
    "NormalsSpace",
    "Shard",
    "ShardMeta",
    "Split",
    "Table",
    "check_hashes",
    "image_offset",
    "open_shard",
    "read_meta",
    "read_shard",
    "read_tables",
    "values_sha256",
    "write_shard",
]
