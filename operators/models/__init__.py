"""Models behind one small contract, by name."""

from headrace.operators.models.contract import Model, ModelShape
from headrace.operators.models.registry import MODELS, build_model, model_mistakes

__all__ = ["MODELS", "Model", "ModelShape", "build_model", "model_mistakes"]
