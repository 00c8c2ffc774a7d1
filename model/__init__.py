"""Tensors in, tensors out: the two warps and the renderer. No files but checkpoints, no Blender."""
