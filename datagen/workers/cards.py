"""Graphics cards: which there are, and which of them each worker is given: one worker a card, unless told otherwise.

Left alone every worker would compute on all cards at once. Each is pinned by the environment of its process, which
Blender's libraries read before they look for cards, so that a worker sees its own card alone.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from pathlib import Path

from enr.datagen.appearance.look import Device
from enr.datagen.settings import PoolSettings
from enr.datagen.workers.worker import worker_command

DEVICES_SCRIPT = Path(__file__).resolve().parents[1] / "blender/devices.py"
ANSWER_SECONDS = 120.0
PIN_OF_DEVICE: dict[Device, str] = {
    "cuda": "CUDA_VISIBLE_DEVICES",
    "optix": "CUDA_VISIBLE_DEVICES",
    "hip": "HIP_VISIBLE_DEVICES",
}
"""The variable that names the cards which a process sees; Metal has none, and one card."""


def with_cards(pool: PoolSettings, device: Device) -> PoolSettings:
    """The settings with the workers that a machine's cards make: `workers_per_device` on each, pinned.

    Worker 0 has the first card, worker 1 the second and so on, around. The CPU's settings stay as they are.

    Args:
        pool: how the workers are run.
        device: what Cycles computes on.
    """
    if device == "cpu":
        return pool
    cards = max(1, count_cards(device, pool.blender))
    pins = pins_of(device, cards) * pool.workers_per_device
    return dataclasses.replace(pool, workers=len(pins), pins=pins)


def pins_of(device: Device, cards: int) -> tuple[str, ...]:
    """For each card what makes it the only one that a process sees, such as `CUDA_VISIBLE_DEVICES=1`.

    Where this process was given some of a machine's cards itself (by a cluster), it is these.
    """
    if device not in PIN_OF_DEVICE:
        return ("",) * cards
    name = PIN_OF_DEVICE[device]
    given = [entry.strip() for entry in os.environ.get(name, "").split(",") if entry.strip()]
    own = given[:cards] if len(given) >= cards else [str(number) for number in range(cards)]
    return tuple(f"{name}={card}" for card in own)


def count_cards(device: Device, blender: Path | None = None) -> int:
    """How many cards of a kind Cycles finds; 0 where Blender does not answer, which a look's check then explains."""
    command = worker_command(DEVICES_SCRIPT, (), 1, blender)
    try:
        said = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=ANSWER_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    answers = [line for line in said.stdout.decode("utf-8", "replace").splitlines() if line.startswith('{"version"')]
    found = json.loads(answers[-1])["devices"] if answers else []
    return sum(item["kind"] == device.upper() for item in found)
