"""Material groups of one surface, in time that grows with their number."""

import time

import numpy as np
import pytest
from tests.datagen import blender_meshes as bm

from enr.datagen.blender.groups import same_surface


def by_trying_all(corners):
    """The first earlier group that shares at least half of the smaller one's corners gives the surface."""
    places = {name: {tuple(point) for point in points.tolist()} for name, points in corners.items()}
    found = {}
    for name, own in places.items():
        twin = next(
            (n for n in found if own and places[n] and len(own & places[n]) >= min(len(own), len(places[n])) / 2), None
        )
        found[name] = found[twin] if twin else len(set(found.values()))
    return found


@pytest.mark.parametrize("seed", range(40))
def test_it_is_what_trying_all_pairs_gives(seed):
    rng = np.random.default_rng(seed)
    pool = rng.integers(0, 4, (rng.integers(3, 40), 3)).astype(float)
    groups = {str(n): pool[rng.integers(0, len(pool), rng.integers(0, 9))] for n in range(rng.integers(1, 30))}
    assert same_surface(groups) == by_trying_all(groups)


@pytest.mark.parametrize("kind", ["apart", "fan", "alike"])
def test_ten_thousand_groups_take_seconds(kind):
    step = 0 if kind == "alike" else 1
    groups = {
        str(n): np.array(
            [(step * n, 0, 0), (step * n + 0.8, 0, 0), (step * n, 0.8, 0), (n, 5, 5) if kind == "apart" else (0, 0, 9)],
            dtype=float,
        )
        for n in range(10_000)
    }
    started = time.process_time()
    surfaces = same_surface(groups)
    assert time.process_time() - started < 10
    assert len(set(surfaces.values())) == (1 if kind == "alike" else 10_000)


def test_a_mesh_of_many_groups_takes_time_in_proportion(tmp_path):
    def seconds(count):
        lines = []
        for n in range(count):
            x, y = n % 60, n // 60
            lines += [f"v {x} {y} 0", f"v {x + 0.8} {y} 0", f"v {x} {y + 0.8} 0"]
            lines += [f"usemtl mat{n}", f"f {3 * n + 1} {3 * n + 2} {3 * n + 3}"]
        path = tmp_path / f"{count}.obj"
        path.write_text("\n".join(lines))
        (outcome,) = bm.render(bm.make_job(path, 1, width_px=16, height_px=16, samples=1))
        assert not outcome.reason
        return sum(outcome.facts["timings"][kind] for kind in ("prepare", "clean"))

    few, many = seconds(500), seconds(4000)
    assert many < 2 * 8 * few + 0.5
