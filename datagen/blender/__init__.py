"""What runs inside Blender, beside the worker: its Python and NumPy alone."""
