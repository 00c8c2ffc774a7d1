"""Equivariant neural rendering: posed renders from meshes, training, evaluation.

Importing this package loads neither torch nor bpy; import the room you need
(`enr.camera`, `enr.shards`, `enr.datagen`, `enr.model`, `enr.pipelines`).
"""

__version__ = "0.1.0"
