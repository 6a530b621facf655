"""The search for what gives a fraud away: a tree and a logistic regression that look where nothing may be."""

from __future__ import annotations

import numpy as np


def auc(fraud, values):
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    positive = fraud.sum()
    return (rank[fraud].sum() - positive * (positive + 1) / 2) / (positive * (fraud.size - positive))


def digits(names):
    """The hexadecimal digits of names that are all of one length, one column each."""
    letters = np.array(names, dtype="S").view(np.uint8).reshape(len(names), -1)[:, 2:]
    return np.where(letters > ord("9"), letters - ord("a") + 10, letters - ord("0"))


def rank_in_ties(times):
    """The place within payments of the same second, 0 to 1; one half for a payment that is alone."""
    first = np.searchsorted(times, times, side="left")
    last = np.searchsorted(times, times, side="right") - 1
    return np.where(last > first, (np.arange(times.size) - first) / np.maximum(last - first, 1), 0.5)


def found(tables):
    """AUC of a tree and of a logistic regression on half of the worlds, learned on the other half."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.tree import DecisionTreeClassifier

    half = len(tables) // 2
    learned, evaluated = (
        [np.concatenate(parts) for parts in zip(*part, strict=True)]
        for part in (tables[:half], tables[half:])
    )
    tree = DecisionTreeClassifier(max_depth=5, min_samples_leaf=200, random_state=0)
    line = make_pipeline(StandardScaler(), LogisticRegression())
    return [
        auc(evaluated[1], model.fit(*learned).predict_proba(evaluated[0])[:, 1]) for model in (tree, line)
    ]
