"""A file of one's own is an experiment; what does not fit is refused with the file, the variant and the key."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from tests.command_line import enr

pytest.importorskip("torch", reason="needs enr[train]")
pytest.importorskip("trimesh", reason="needs enr[datagen]")
if importlib.util.find_spec("bpy") is None:
    pytest.skip("needs enr[datagen]", allow_module_level=True)

from tests.pipelines.experiments.reproduce_content import CONTENT

from enr.errors import EnrError
from enr.pipelines.config import override, read_preset, validated_train
from enr.pipelines.experiments.config import at_scale, merged, read_experiment
from enr.pipelines.experiments.experiment_plan import ReproduceSettings, make_plan


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"datagen": {"view": 3}}, "sets.boxes: There is no option --view; did you mean views?"),
        ({"datagen": {"views": "many"}}, "sets.boxes: --views is 'many'; it must be a whole number."),
        ({"evaluations": {"unseen": {"options": {"ssims": True}}}}, "evaluations.unseen: .*did you mean ssim?"),
        ({"evaluations": {"unseen": {"options": {"source": "x"}}}}, "evaluations.unseen: options.source is 'x'"),
        ({"variants": {"slow": {"set": {"leaning_rate": 1}}}}, "variants.slow.set: .*did you mean learning_rate?"),
        ({"evaluations": {"unseen": {"options": {"ssim": "maybe"}}}}, "options.ssim is 'maybe'"),
        ({"variants": {"slow": {"set": {"seed": 3}}}}, "variants.slow.set: seed is not set here.* use seeds:"),
        ({"variants": {"slow": {"set": {"loss": 1}}}}, "variants.slow.set: loss is a section"),
        ({"variants": {"slow": {"time": 0}}}, "variants.slow.time is 0; it must be above 0"),
        (
            {"shapes": {"kinds": ["boat"]}},
            "shapes.kinds.0 is 'boat'; give one of 'chair', 'table', 'mug', 'car', 'mountain'",
        ),
        ({"scales": {"huge": {}}}, "scales.huge is no scale; known are"),
    ],
)
def test_a_refusal_names_the_file_the_variant_and_the_key(change, words):
    with pytest.raises(EnrError, match=r"^mine\.yaml, scale tiny: .*" + words.replace("?", r"\?")):
        at_scale(merged(CONTENT, change), "tiny", "mine.yaml")


@pytest.fixture
def sample(pytestconfig, tmp_path) -> Path:
    """The file that the page about experiments shows."""
    page = (pytestconfig.rootpath / "docs" / "experiments.md").read_text(encoding="utf-8")
    path = tmp_path / "mine.yaml"
    path.write_text(page.split("```yaml\n")[1].split("```")[0])
    return path


def test_the_documented_file_is_an_experiment_wherever_it_lies(sample, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = enr("reproduce", str(sample), "--dry-run")
    assert result.exit_code == 0, result.output
    assert "enr train reproduce/mine-tiny/shards/rot --preset smoke" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]
    plan = make_plan(ReproduceSettings(str(sample)))
    assert plan.line.startswith(f"enr reproduce {sample} ")
    assert set(plan.experiment.variants) == {"plain", "both-rot", "both-trans", "tuned"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("carry_colour", "carry_color", "variants.plain.set: --set does not know 'carry_color'"),
        ("detail_stride: 0", "warp: round", "variants.plain: model.warp is 'round'; give one of"),
        ("minutes: 60", "minutes: 0", "minutes is 0; it must be above 0"),
        ("preset: smoke", "preset: smok", "did you mean smoke?"),
        ("summary:", "summary: [", "is no YAML"),
        (
            "views: 8,",
            "views: 1,",
            "sets.rot has 1 view of each mesh to train on, and 1 source picture and a target are",
        ),
        ("validations: 2", "sources: 8", "sets.rot has 8 views of each mesh to train on, and 8 source pictures and a"),
    ],
)
def test_a_mistake_in_a_file_is_named_with_the_file(sample, old, new, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sample.write_text(sample.read_text().replace(old, new))
    result = enr("reproduce", "mine.yaml", "--dry-run", "--scale", "small" if "minutes" in old else "tiny")
    assert result.exit_code == 2
    assert "mine.yaml" in result.output and said in result.output and result.output.count("\n") == 1


def test_a_section_in_a_set_is_its_entries():
    experiment = at_scale(merged(CONTENT, {"variants": {"slow": {"set": {"loss": {"l1": 0}}}}}), "tiny")
    assert experiment.variants["slow"].set["loss.l1"] == 0


def test_a_file_that_lies_there_is_named(sample, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EnrError, match=r"did you mean mine\.yaml\?"):
        read_experiment("mine", "tiny")


def test_a_number_that_yaml_reads_as_text_is_a_number():
    change = {"variants": {"slow": {"set": {"learning_rate": "1e-4"}}}, "datagen": {"radius": "15e-1"}}
    experiment = at_scale(merged(CONTENT, change), "tiny")
    assert experiment.sets["boxes"].datagen.radius == 1.5
    preset = override(read_preset("smoke"), experiment.variants["slow"].set)
    assert validated_train({**preset.train, "steps": 1}).learning_rate == 1e-4


@pytest.mark.parametrize("scale", ["tiny", "small", "paper"])
def test_the_rate_that_is_compared_is_that_of_all_weights(scale):
    experiment = read_experiment("learning-rate", scale)
    for variant in experiment.variants.values():
        config = override(read_preset(experiment.preset), {**experiment.set, **variant.set}).train
        assert config["muon_learning_rate"] == 0, "Muon's own rate would stay the same beside it"
