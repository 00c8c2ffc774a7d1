"""Shards in the layouts of others."""
