"""Everything that touches disk, devices or people: the command line, training, evaluation."""
