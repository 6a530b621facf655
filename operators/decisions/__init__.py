"""What decisions of any kind are made of: scoring, baselines, pending outcomes, quality."""

__all__ = [
    "attribution_baseline",
    "decision",
    "detail",
    "estimate",
    "estimate_window",
    "inputs",
    "judged",
    "pending",
    "prequential",
    "reasons",
    "score",
    "scoring",
    "scoring_compiled",
    "target",
]
