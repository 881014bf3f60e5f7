"""Owns forecasters: training, native text format, conformal calibration, fallback models, own models behind a wall.

Does not own: features, packages and signatures, the choice of who serves. The ONNX export stands in
`recloser.models.onnx` and is not imported here: its libraries are an optional extra and heavy.
"""

from recloser.models.adaptive import AdaptiveCoverage, CoveragePlan, covering
from recloser.models.calibration import Calibration, fit_calibration, follow, recalibrate
from recloser.models.event_detector import DetectorPlan, EventDetector, train_detector
from recloser.models.lightgbm_quantile import LightGBMQuantile
from recloser.models.loading import PyfuncModel, PythonModel, code_kind, load_model
from recloser.models.model import Model, predict_rows, prompt
from recloser.models.naive import Persistence, SeasonalNaive
from recloser.models.splits import split_rows
from recloser.models.training import TrainingPlan, train_lightgbm

__all__ = [
    "AdaptiveCoverage",
    "Calibration",
    "CoveragePlan",
    "DetectorPlan",
    "EventDetector",
    "LightGBMQuantile",
    "Model",
    "Persistence",
    "PyfuncModel",
    "PythonModel",
    "SeasonalNaive",
    "TrainingPlan",
    "code_kind",
    "covering",
    "fit_calibration",
    "follow",
    "load_model",
    "predict_rows",
    "prompt",
    "recalibrate",
    "split_rows",
    "train_detector",
    "train_lightgbm",
]
