"""The built-in shapes' parts."""
