"""A small experiment, as its YAML file would hold it."""

from __future__ import annotations

from typing import Any

CONTENT: dict[str, Any] = {
    "summary": "Boxes.",
    "follows": "nobody.",
    "shapes": {"count": 5},
    "datagen": {"group": "rot", "views": 4, "resolution": 16, "workers": 1},
    "sets": {"boxes": {}},
    "preset": "smoke",
    "set": {"steps": 3, "threads": 1, "validations": 1, "validation_pictures": 4, "frames": 1, "frame_scenes": 1},
    "seeds": [0, 1],
    "variants": {
        "slow": {"label": "slowly", "sets": ["boxes"]},
        "tuned": {"sets": ["boxes"], "init": "slow"},
    },
    "evaluations": {"unseen": {"title": "Unseen boxes", "options": {"ssim": True}}},
}
