"""Owns pipelines as data and the steps as plain functions. Does not own orchestration or triggers."""

from recloser.pipelines.candidate import candidate_pipeline
from recloser.pipelines.detection.recipe import DetectionRecipe
from recloser.pipelines.detection.steps import detector_pipeline
from recloser.pipelines.evaluation import Evaluation, days_off
from recloser.pipelines.pipeline import Pipeline, Step, StepFunction, When, input_digest, inputs_of
from recloser.pipelines.verdicts import waive
from recloser.pipelines.windows import Share, Windows, shared_out, split
from recloser.pipelines.workbench import Contender, Recipe, Train, Workbench, union

__all__ = [
    "Contender",
    "DetectionRecipe",
    "Evaluation",
    "Pipeline",
    "Recipe",
    "Share",
    "Step",
    "StepFunction",
    "Train",
    "When",
    "Windows",
    "Workbench",
    "candidate_pipeline",
    "days_off",
    "detector_pipeline",
    "input_digest",
    "inputs_of",
    "shared_out",
    "split",
    "union",
    "waive",
]
