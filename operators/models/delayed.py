"""Learning before the outcome is known: how much an example counts at first, and when its outcome comes."""

from __future__ import annotations

from typing import Final

import msgspec

__all__ = ["Provisional"]

_FORMAT: Final = 1
_COUNTED_MAX: Final = 1000


class _State(msgspec.Struct, frozen=True, array_like=True):
    format: int
    label: int
    early: float
    counted: int


class Provisional:
    """Weights with which examples are learned as if nothing came, and once more when something does.

    An example is first learned with the provisional label, and that isn't taken back: where the other label
    comes, the example is learned with it too. So a model sees too many examples with the provisional label.
    The weights make up for that, by the model's own probability p of the other label: an example of which
    nothing is known counts at first

        (1 - p) / (1 - c p),

    where c is the share of the other label's outcomes that come before their examples are first learned, and
    each outcome with the other label counts 1. The expected gradient of the log loss is then 0 where p is
    right, and nowhere else: what the model tends to is unbiased, however late outcomes come, and if most
    never do.

    With c = 0, as an example is learned when it is decided, these are the weights of FNW without their common
    factor 1 + p, which changes how fast a model learns and not where it ends. Where learning waits a while,
    ES-DFM has a model of its own for outcomes that come later; here c is one share that is counted.

    Parameters
    ----------
    label
        The provisional label, 0 or 1.

    References
    ----------
    Ktena, S. I. et al. (2019). Addressing delayed feedback for continuous training with neural networks in
    CTR prediction. RecSys. (FNW.)
    Yang, J.-Q. et al. (2021). Capturing delayed feedback in conversion rate prediction via elapsed-time
    sampling. AAAI. (ES-DFM.)

    Examples
    --------
    >>> provisional = Provisional(0)
    >>> provisional.first(0.25)
    0.75
    >>> provisional.then(1, learned_before=True), provisional.then(0, learned_before=True)
    (1.0, 0.0)
    """

    def __init__(self, label: int) -> None:
        if label not in (0, 1):
            raise ValueError(f"the provisional label must be 0 or 1 (is {label!r})")
        self.label = label
        self._early, self._counted = 0.0, 0

    def first(self, score: float) -> float:
        """Return how much an example counts that is learned with the provisional label, 0 to 1.

        Parameters
        ----------
        score
            What the model says of the example now: its probability of label 1.
        """
        # By Bayes' rule: the chance that nothing will come, given that nothing has come so far, where the
        # share `early` of what comes has come by then.
        other = 1.0 - score if self.label else score
        left = 1.0 - self._early * other
        return (1.0 - other) / left if left > 0.0 else 1.0

    def then(self, label: int, *, learned_before: bool) -> float:
        """Return how much an example counts that is learned with its outcome; 0 if it isn't to be learned.

        Parameters
        ----------
        label
            The outcome, 0 or 1.
        learned_before
            Whether the example was learned with the provisional label.
        """
        if label == self.label:
            return 0.0 if learned_before else 1.0
        # A plain mean at first; from the limit on it forgets, as outcomes may come later or earlier than they
        # used to.
        self._counted = min(self._counted + 1, _COUNTED_MAX)
        self._early += ((not learned_before) - self._early) / self._counted
        return 1.0

    def save(self) -> bytes:
        """Return the state as bytes."""
        return msgspec.msgpack.encode(_State(_FORMAT, self.label, self._early, self._counted))

    def load(self, saved: bytes) -> None:
        """Take over a state that `save` gave.

        Raises
        ------
        ValueError
            If it isn't such a state, or one for another label; then nothing has changed.
        """
        state = msgspec.msgpack.decode(saved, type=_State)
        if (state.format, state.label) != (_FORMAT, self.label):
            raise ValueError(f"saved in format {state.format} for label {state.label}")
        if not (0.0 <= state.early <= 1.0 and 0 <= state.counted <= _COUNTED_MAX):
            raise ValueError("saved with an impossible share")
        self._early, self._counted = state.early, state.counted
