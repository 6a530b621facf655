"""Models behind one contract, by name."""

from .contract import Model, ModelShape
from .registry import MODELS, build_model, model_errors, reference
from .teaching import NotLearned, Teacher
from .unbuilt import unbuilt_model

__all__ = [
    "MODELS",
    "Model",
    "ModelShape",
    "NotLearned",
    "Teacher",
    "build_model",
    "fused",
    "model_errors",
    "reference",
    "unbuilt_model",
]
