"""Events, features and decisions that are declared, each decision with its model, policy and target."""

__all__ = ["kind"]
