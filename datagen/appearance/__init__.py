"""What pictures look like: light, surroundings, passes, engine."""
