"""Typed settings, and one commented TOML file for each flow."""

__all__ = [
    "addresses",
    "bounded",
    "expression",
    "kafka",
    "lists",
    "paths",
    "policy",
    "printable",
    "private_files",
    "recommend",
    "recommend_flow",
    "recommend_rules",
    "settings",
    "tables",
]
