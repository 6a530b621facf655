"""Lets a model learn all of what an input says, or nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import Final, TypeAlias

from .contract import Model

__all__ = ["Example", "NotLearned", "Teacher"]

Example: TypeAlias = tuple[Sequence[float], int] | tuple[Sequence[float], int, float]
"""Features, their label, and how many times they count, where the model takes weights."""

_EXAMPLES_MIN: Final = 256
_EXAMPLES_MAX: Final = 16_384
_LEARNING_PER_COPYING: Final = 20  # so many times as long
_TRIES: Final = 8


class NotLearned(Exception):
    """A model raised something while it learned, and is as it was before; `cause` is what it raised."""

    def __init__(self, cause: Exception) -> None:
        self.cause = cause
        super().__init__(f"{type(cause).__name__}: {cause}")


class Teacher:
    """Teaches a model, and takes back what it has learned of an input with which it raises something.

    Of a model a copy is kept, with the examples that it has learned since: these are learned once more from
    the copy. The longer copying takes, the rarer it is done; what comes out doesn't depend on when. One that
    is `atomic` changes nothing with an example with which it raises; where examples come one by one, it needs
    no copy.

    Parameters
    ----------
    model
        What learns; nobody else lets it learn, or loads it without telling `forget`.
    one_by_one
        Whether an input never has more than one example.
    """

    def __init__(self, model: Model, *, one_by_one: bool) -> None:
        self._model, self._atomic = model, one_by_one and getattr(model, "atomic", False)
        self._copy = b""
        self._since: list[Example] = []
        self._copying_ns = self._learning_ns = 0

    def forget(self) -> None:
        """Note that the model was loaded: what was kept is of another state."""
        self._copy, self._since = b"", []

    def teach(self, examples: Sequence[Example]) -> None:
        """Let the model learn examples, in their order.

        Raises
        ------
        NotLearned
            If it raises anything; then it is as it was.
        Exception
            If it can't be brought back, as what it raises depends on more than its state and the example.
        """
        begun_ns = 0
        if not self._atomic:
            # Before the examples, not after them: a copy is worth nothing if the input behind it never comes.
            if self._copy_is_due():
                self._keep_copy()
            begun_ns = perf_counter_ns()
        learn: Callable[..., None] = self._model.learn
        try:
            for example in examples:
                learn(*example)
        except MemoryError:
            raise
        except Exception as error:
            if not self._atomic:
                self._bring_back()
            raise NotLearned(error) from error
        if not self._atomic:
            # Only what was learned whole: these examples are learned once more from the copy, and must not
            # fail then.
            self._since += examples
            self._learning_ns += perf_counter_ns() - begun_ns

    def learning_one(self) -> Callable[..., None]:
        """Return what lets the model learn an `Example`'s parts; what an atomic one raises comes through."""
        return self._model.learn if self._atomic else self._teach_one

    def untouched_by(self, error: Exception) -> bool:
        """Whether what `learning_one` has raised is of the example, and has left the model as it was."""
        return self._atomic and not isinstance(error, MemoryError)

    def _teach_one(self, features: Sequence[float], label: int, weight: float | None = None) -> None:
        self.teach(((features, label) if weight is None else (features, label, weight),))

    def _copy_is_due(self) -> bool:
        count = len(self._since)
        worth_it = self._learning_ns >= _LEARNING_PER_COPYING * self._copying_ns
        return not self._copy or count >= _EXAMPLES_MAX or (count >= _EXAMPLES_MIN and worth_it)

    def _keep_copy(self) -> None:
        begun_ns = perf_counter_ns()
        self._copy = self._model.save()
        self._since, self._learning_ns = [], 0
        self._copying_ns = perf_counter_ns() - begun_ns

    def _bring_back(self) -> None:
        """Learn the examples since the copy once more; the next failure then finds a copy of this state."""
        # A model whose choices hang on chance may raise once and not again; one that always does ends the
        # run.
        for left in reversed(range(_TRIES)):
            try:
                self._model.load(self._copy)
                learn: Callable[..., None] = self._model.learn
                for example in self._since:
                    learn(*example)
            except MemoryError:
                raise
            except Exception:
                if not left:
                    raise
            else:
                if self._since:
                    self._keep_copy()
                return
