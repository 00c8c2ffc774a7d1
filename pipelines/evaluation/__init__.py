"""How good a checkpoint is on scenes that it never saw, beside floors and other methods: numbers, tables, pictures."""
