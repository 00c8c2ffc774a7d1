"""From planned shards and rendered meshes to files."""
