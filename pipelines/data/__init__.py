"""Shards as what training and evaluation read: pictures, cameras and splits."""
