"""Measure a checkpoint or predictions on scenes not trained on, beside what needs no model and beside wrong poses.

Read from top to bottom: who predicts, on which scenes and views, what is measured of them, what is written.
"""

from __future__ import annotations

import torch

from enr.pipelines.data.views import ViewSet
from enr.pipelines.evaluation.checkpoint_predictor import CheckpointPredictor
from enr.pipelines.evaluation.foreground import find_opaque, opaque_notes
from enr.pipelines.evaluation.inputs import EvalSettings
from enr.pipelines.evaluation.measure import measure_part
from enr.pipelines.evaluation.predicted_folder import PredictedFolder, with_own_source
from enr.pipelines.evaluation.predictor import Predictor
from enr.pipelines.evaluation.report import Report, unmeasured_notes
from enr.pipelines.evaluation.report_content import Facts
from enr.pipelines.evaluation.report_files import common_facts, write_report
from enr.pipelines.evaluation.scene_choice import plan_parts
from enr.pipelines.evaluation.scene_pictures import EvaluatedData
from enr.pipelines.evaluation.unseen import unseen_notes
from enr.pipelines.machine import pick_device, prepare_cpu


def evaluate(settings: EvalSettings) -> Report:
    """Measure a checkpoint, or the pictures in `settings.predictions`; write a JSON file and pictures.

    Args:
        settings: what is measured on what.

    Returns:
        The report; its files lie in `settings.out`, or in a new folder of the run.

    Raises:
        EnrError: checkpoint or predictions, shards and settings do not fit together, a measure is no number, or the
            report cannot be written; nothing is written then.
    """
    settings = with_own_source(settings)
    device = pick_device(settings.device)
    prepare_cpu(threads=0)
    predictor = open_predictor(settings, device)
    view_set = ViewSet.open(predictor.shards)
    data = EvaluatedData(view_set, settings, device, find_opaque(view_set))
    notes = predictor.check_data(view_set)
    parts, said = plan_parts(settings, view_set, predictor.learned)
    shown = [plan.scene.first for part in parts for plan in part.scenes]
    notes += said + opaque_notes(view_set, data.opaque, view_set.views["shard"][shown].tolist())
    notes += predictor.check_parts(view_set, parts)
    measured = [measure_part(predictor, data, part) for part in parts]
    groups = tuple(group for group, _ in measured)
    notes += [note for group in groups for note in unmeasured_notes(group)]
    notes += [f"{group.group}: {note}" for group in groups for note in unseen_notes(group.unseen, predictor.config)]
    facts: Facts = {**common_facts(settings, view_set, device), **predictor.facts()}
    report = Report(groups, view_set.background, facts, tuple(notes))
    return write_report(report, [sheet for _, sheet in measured], settings.out, predictor.home)


def open_predictor(settings: EvalSettings, device: torch.device) -> Predictor:
    """Whoever predicts: the folder of predictions that is named, else a checkpoint.

    Raises:
        EnrError: there is none, or the settings do not fit it.
    """
    if settings.predictions is not None:
        return PredictedFolder.open(settings.predictions, settings)
    return CheckpointPredictor.open(settings, device)
