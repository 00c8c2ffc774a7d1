"""Meshes to shards: find, normalise, pose and render with headless Blender. No torch here."""
