"""What decisions of any kind are made of: scoring, baselines, pending outcomes, quality."""

__all__ = [
    "attribution_baseline",
    "detail",
    "pending",
    "prequential",
    "reasons",
    "scoring",
    "scoring_compiled",
]
