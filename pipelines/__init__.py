"""Everything that touches disk, devices or people: the command line, training, evaluation."""

import os

# Read when torch is loaded. Threads that wait for each other sleep instead of spinning: beside other work on the same
# cores, spinning made training steps several times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
