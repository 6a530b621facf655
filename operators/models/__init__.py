"""Models behind one contract, by name."""

from .calibration import Calibration
from .contract import Estimator, Model, ModelShape, WeightedModel
from .delayed import Provisional
from .estimators import ESTIMATORS, build_estimator, estimator_errors
from .registry import MODELS, build_model, model_errors, reference, takes_weights
from .reliability import Bin, Reliability
from .teaching import NotLearned, Teacher
from .unbuilt import unbuilt_model

__all__ = [
    "ESTIMATORS",
    "MODELS",
    "Bin",
    "Calibration",
    "Estimator",
    "Model",
    "ModelShape",
    "NotLearned",
    "Provisional",
    "Reliability",
    "Teacher",
    "WeightedModel",
    "build_estimator",
    "build_model",
    "estimator_errors",
    "fused",
    "model_errors",
    "reference",
    "takes_weights",
    "unbuilt_model",
]
