"""Parts of a data set, wherever they lie, become one; what does not fit together is refused and nothing written."""

import dataclasses
import shutil
from pathlib import Path

import h5py
import pytest
from tests.command_line import enr
from tests.datagen.conftest import fake_blender, shard_bytes, small_set, write_mesh

from enr.datagen.generate import generate
from enr.datagen.metadata.manifest import read_manifest, without_times
from enr.datagen.metadata.merge import merge
from enr.errors import EnrError

VIEWS, PARTS = 2, 3
NAMES = ("mesh0", "mesh1", "mesh2", "mesh3", "refuses", "refuses-too")
"""Two to a shard, so that the last shard has not a single scene."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folders: `whole` by one run, `parts/1` to `parts/3` by three, `together` by three into one folder."""
    root = tmp_path_factory.mktemp("made")
    for name in NAMES:
        write_mesh(root / "meshes", f"{name}/refuses" if "refuses" in name else name)
    with pytest.MonkeyPatch.context() as patch:
        fake_blender(patch)
        settings = small_set(root / "meshes", VIEWS, per_shard=2, out=root / "whole")
        generate(settings)
        for number in range(1, PARTS + 1):
            for out in (root / f"parts/{number}", root / "together"):
                generate(dataclasses.replace(settings, part=(number, PARTS), out=out))
        generate(dataclasses.replace(settings, views=VIEWS + 1, part=(2, PARTS), out=root / "other-settings"))
    return root


@pytest.fixture
def copy(made, tmp_path) -> Path:
    """The same folders, to be changed."""
    return Path(shutil.copytree(made, tmp_path / "copy"))


def parts(root: Path) -> list[Path]:
    return [root / f"parts/{number}" for number in range(1, PARTS + 1)]


def test_parts_in_several_folders_become_what_one_run_makes(made, tmp_path):
    (merged,) = merge(parts(made), tmp_path / "out")
    assert shard_bytes(tmp_path / "out") == shard_bytes(made / "whole")
    assert [path.name for path in merged.shards] == sorted(shard_bytes(made / "whole"))
    whole = read_manifest(made / "whole/rototrans-manifest.json")
    assert without_times(read_manifest(merged.manifest)) == without_times(whole)
    assert merged.contact_sheet.read_bytes() == (made / "whole/rototrans-contact-sheet.png").read_bytes()
    assert (merged.scenes, merged.images, merged.failures) == (4, 4 * VIEWS, 2)
    assert [path.name for path in (tmp_path / "out").glob("*.failed.json")] == ["rototrans-00002-of-00003.failed.json"]


def test_parts_that_lie_in_one_folder_stay_where_they_are(made, copy):
    places = {path: path.stat().st_ino for path in (copy / "together").glob("*.h5")}
    (merged,) = merge([copy / "together"], copy / "together")
    assert {path: path.stat().st_ino for path in (copy / "together").glob("*.h5")} == places
    manifest = read_manifest(merged.manifest)
    assert without_times(manifest) == without_times(read_manifest(made / "whole/rototrans-manifest.json"))
    assert all(mesh["worker_memory_mb"] == 100 for mesh in manifest["meshes"])
    assert len(manifest["runs"]) == PARTS
    (again,) = merge([copy / "together"], copy / "together")
    assert read_manifest(again.manifest) == manifest


def test_lost_manifests_cost_only_the_times_and_the_places_of_failed_meshes(copy, made, tmp_path):
    for path in copy.glob("parts/*/*-manifest-*.json"):
        path.unlink()
    (merged,) = merge(parts(copy), tmp_path / "out")
    wanted = without_times(read_manifest(made / "whole/rototrans-manifest.json"))
    wanted["failures"] = [{**failure, "mesh_path": ""} for failure in wanted["failures"]]
    assert without_times(read_manifest(merged.manifest)) == wanted


def damage(shard: Path) -> None:
    with h5py.File(shard, "r+") as file:
        file["images"][0, 0, 0, 0] ^= 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda root: damage(root / "parts/1/rototrans-00000-of-00003.h5"), "is no longer what was written (images)"),
        (lambda root: (root / "parts/1/rototrans-00000-of-00003.h5").write_bytes(b"?"), "not a readable HDF5 file"),
        (lambda root: shutil.rmtree(root / "parts/2"), "is not a folder"),
        (lambda root: [path.unlink() for path in (root / "parts/2").iterdir()], "run part 2 of 3 again"),
        (lambda root: [path.unlink() for path in (root / "parts/3").iterdir()], "(numbers 2); run part 3 of 3"),
        (lambda root: [path.unlink() for path in root.glob("parts/*/*.h5")], "No shards in"),
        (lambda root: shutil.copy(next(root.glob("parts/1/*.h5")), root / "parts/2"), "is in"),
        (lambda root: swap(root / "other-settings", root / "parts/2"), "are of two data sets"),
    ],
)
def test_what_does_not_make_a_whole_is_refused_and_nothing_written(copy, tmp_path, change, sentence):
    change(copy)
    with pytest.raises(EnrError) as caught:
        merge(parts(copy), tmp_path / "out")
    assert sentence in str(caught.value)
    assert not (tmp_path / "out").exists()


def swap(source: Path, target: Path) -> None:
    shutil.rmtree(target)
    shutil.copytree(source, target)


def test_shards_of_other_settings_are_refused_by_name(copy, tmp_path):
    own = copy / "parts/2/rototrans-00001-of-00003.h5"
    with h5py.File(own, "r+") as file:
        file.attrs["seed"] = 7
        del file.attrs["sha256"]
    with pytest.raises(EnrError, match="another seed"):
        merge(parts(copy), tmp_path / "out")


def test_a_whole_that_differs_is_not_written_over(copy, tmp_path):
    merge(parts(copy), tmp_path / "out")
    merge(parts(copy), tmp_path / "out")
    target = tmp_path / "out/rototrans-00001-of-00003.h5"
    target.unlink()
    shutil.copy(copy / "parts/1/rototrans-00000-of-00003.h5", target)
    with pytest.raises(EnrError, match="is there already and differs"):
        merge(parts(copy), tmp_path / "out")


def test_as_a_user_types_it(copy):
    result = enr("merge", str(copy / "together"))
    assert result.exit_code == 0, result.output
    assert f"{4 * VIEWS} images of 4 meshes in 2 shards; 2 meshes failed" in result.output
    several = enr("merge", *map(str, parts(copy)))
    assert several.exit_code == 2 and "--out is missing" in several.output
