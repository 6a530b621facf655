"""Typed settings, and one commented TOML file for each flow."""

__all__ = [
    "addresses",
    "bounded",
    "canonical",
    "durations",
    "expression",
    "features",
    "flow_kinds",
    "fraud_flow",
    "kafka",
    "lists",
    "loading",
    "paths",
    "policy",
    "printable",
    "private_files",
    "recommend",
    "recommend_flow",
    "recommend_rules",
    "references",
    "tables",
]
