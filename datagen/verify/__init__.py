"""Shards looked at and checked."""
