"""Models behind one contract, by name."""

from headrace.operators.models.contract import Model, ModelShape
from headrace.operators.models.registry import MODELS, build_model, model_mistakes, reference
from headrace.operators.models.teaching import NotLearned, Teacher
from headrace.operators.models.unbuilt import unbuilt_model

__all__ = [
    "MODELS",
    "Model",
    "ModelShape",
    "NotLearned",
    "Teacher",
    "build_model",
    "model_mistakes",
    "reference",
    "unbuilt_model",
]
