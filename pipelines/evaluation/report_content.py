"""What the JSON file of an evaluation holds, as others read it: see `enr.pipelines.evaluation.report_files`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from enr.camera import Group
from enr.model.description import CheckpointMetadata
from enr.shards import Split

Scores = Mapping[str, Mapping[str, float | None]]
"""By candidate (`model`, `wrong_pose`, `background` ...) and metric (`psnr_db`, `psnr_foreground_db`, `ssim`)."""


Means = Mapping[str, float]
"""`pairs`, how many pairs of views there are, and the mean of each measure over them (NaN: nothing was measured)."""
Bin = Mapping[str, float | None]
"""The same of the motions `from` one size `to` another one (None: no end)."""


class MotionSummary(TypedDict):
    """Means over pairs of views, `all` of them and by the size of the motion, in degrees and in object units."""

    all: Means
    by_angle_deg: list[Bin]
    by_distance: list[Bin]


class ErrorSizes(TypedDict):
    """Of absolute errors."""

    mean: float
    median: float
    p95: float


class DistanceContent(TypedDict):
    """How well distances are known.

    Attributes:
        pictures: that were measured.
        units, percent: absolute errors, in object units and in per cent of the truth.
        bias: mean error, in object units.
        held: how often the truth lies in each range, by its name.
    """

    pictures: int
    units: ErrorSizes
    percent: ErrorSizes
    bias: float
    held: dict[str, float]


class SceneContent(TypedDict, total=False):
    """The numbers of one scene.

    Attributes:
        scene_id: of its mesh.
        source_view: the first view that the model was given.
        sources: how many views it was given.
        targets: how many views were measured.
        scores: by candidate and metric, in dB.
        silhouette_iou: of predicted and true silhouettes.
        chroma_predicted, chroma_true: mean colours without brightness.
        unseen: shares of what the targets show that the input views do not.
        equivariance: where it was asked for.
    """

    scene_id: str
    source_view: int
    sources: int
    targets: int
    scores: Scores
    silhouette_iou: float | None
    chroma_predicted: list[float]
    chroma_true: list[float]
    unseen: Mapping[str, float | None]
    equivariance: Means | None


class GroupContent(TypedDict, total=False):
    """The numbers of one group and split.

    Attributes:
        group, split: which.
        scenes: how many.
        scores: means over the scenes, by candidate and metric, in dB.
        lead_db: over the better trivial baseline that sees no target.
        pose_gap_db: what a wrong pose costs.
        silhouette_iou, chroma_correlation: over the scenes.
        unseen: means of the scenes' shares.
        distance: errors of estimated distances, where the depth range travels.
        equivariance: where it was asked for.
        by_motion: PSNR by the size of the motion.
        seconds: that the measurement took.
        picture: name of the file beside this one.
        per_scene: the same for every scene.
    """

    group: Group
    split: Split
    scenes: int
    scores: Scores
    lead_db: float
    pose_gap_db: float
    silhouette_iou: float | None
    chroma_correlation: float | None
    unseen: Mapping[str, float | None]
    distance: Mapping[str, DistanceContent] | None
    equivariance: MotionSummary | None
    by_motion: MotionSummary | None
    seconds: float
    picture: str | None
    per_scene: list[SceneContent]


class Facts(TypedDict, total=False):
    """Everything that is needed to make an evaluation again.

    Attributes:
        enr_version: that measured.
        time: when, ISO 8601.
        checkpoint: what was measured; None for another method's pictures.
        predictions: their folder, or None.
        checkpoint_metadata: what the checkpoint says of itself.
        shards: the files that were measured on.
        image_shape: (3, height, width).
        protocol, source_view, sources, seed, max_scenes, device: as they were asked for.
        psnr_cap_db: PSNR of pictures without an error.
        untrained, equivariance: whether they were asked for.
        known_distance: whether the model was told the distance of the object.
    """

    enr_version: str
    time: str
    checkpoint: str | None
    predictions: str | None
    checkpoint_metadata: CheckpointMetadata
    shards: list[str]
    image_shape: list[int]
    protocol: str | None
    source_view: int
    sources: int
    seed: int
    max_scenes: int | None
    device: str
    psnr_cap_db: float
    untrained: bool
    equivariance: bool
    known_distance: bool


class ReportContent(Facts, total=False):
    """The whole file: the facts, and

    Attributes:
        format, format_version: of the file.
        background: sRGB in [0, 1].
        definition: of the numbers, in words.
        notes: what a reader should know.
        results: one for each group and split.
    """

    format: str
    format_version: int
    background: list[float]
    definition: str
    notes: list[str]
    results: list[GroupContent]
