"""A model that raises while it learns is brought back to where it was."""

from __future__ import annotations

import pickle

import pytest

from headrace.operators.models import NotLearned, Teacher
from headrace.operators.models import teaching as module


class Sum:
    """Adds labels up; half of it is done when it raises. What it raises at is part of its state, or isn't."""

    def __init__(self) -> None:
        self.seen = self.total = 0
        self.raises_at: set[int] = set()
        self.calls, self.raises_at_call = 0, set[int]()
        self.saved = 0

    def learn(self, features, label):
        self.calls += 1
        self.seen += 1
        if self.seen in self.raises_at or self.calls in self.raises_at_call or features == "bad":
            raise ZeroDivisionError
        self.total += label

    def save(self) -> bytes:
        self.saved += 1
        return pickle.dumps((self.seen, self.total))

    def load(self, saved: bytes) -> None:
        self.seen, self.total = pickle.loads(saved)


def taught(teacher: Teacher, *examples) -> bool:
    try:
        teacher.teach(examples)
    except NotLearned as error:
        return not isinstance(error.cause, ZeroDivisionError)
    return True


def test_what_fails_leaves_nothing_also_far_from_the_last_copy():
    model = Sum()
    teacher = Teacher(model, one_by_one=False)
    for number in range(1000):
        assert taught(teacher, ("good", number))
    saved, before = model.saved, (model.seen, model.total)
    assert not taught(teacher, ("bad", 1))
    assert (model.seen, model.total) == before
    assert model.saved == saved + 1
    assert taught(teacher, ("good", 1))


def test_examples_that_belong_together_are_learned_all_or_not_at_all():
    model = Sum()
    teacher = Teacher(model, one_by_one=False)
    assert taught(teacher, ("good", 1), ("good", 2))
    assert not taught(teacher, ("good", 3), ("good", 4), ("bad", 5))
    assert (model.seen, model.total) == (2, 3)


def test_one_failure_after_the_other_learns_nothing_again():
    model = Sum()
    teacher = Teacher(model, one_by_one=False)
    for number in range(200):
        taught(teacher, ("good", number))
    taught(teacher, ("bad", 1))
    calls = model.calls
    for _ in range(50):
        taught(teacher, ("bad", 1))
    assert model.calls == calls + 50


def test_it_may_raise_while_it_learns_again():
    model = Sum()
    teacher = Teacher(model, one_by_one=False)
    for _ in range(100):
        taught(teacher, ("good", 1))
    model.raises_at_call = {130, 150}
    assert not taught(teacher, ("bad", 1))
    assert (model.seen, model.total) == (100, 100)


def test_one_that_can_not_be_brought_back_is_no_matter_of_the_input():
    model = Sum()
    teacher = Teacher(model, one_by_one=False)
    taught(teacher, ("good", 1))
    model.raises_at_call = set(range(2, 100))
    with pytest.raises(ZeroDivisionError):
        teacher.teach([("good", 1)])


@pytest.mark.parametrize(("copying_ns", "copies"), [(0, 80), (50, 21), (10**9, 2)])
def test_copies_are_rarer_the_longer_they_take(monkeypatch, copying_ns, copies):
    """By a clock that an example moves by 1 ns."""
    model, now = Sum(), [0]
    save, learn = model.save, model.learn
    monkeypatch.setattr(module, "perf_counter_ns", lambda: now[0])
    model.save = lambda: (now.__setitem__(0, now[0] + copying_ns), save())[1]
    model.learn = lambda *example: (now.__setitem__(0, now[0] + 1), learn(*example))
    teacher = Teacher(model, one_by_one=False)
    for _ in range(20_480):
        taught(teacher, ("good", 1))
    assert model.saved == copies


def test_a_model_that_was_loaded_is_copied_anew():
    model = Sum()
    teacher = Teacher(model, one_by_one=False)
    taught(teacher, ("good", 1))
    model.load(pickle.dumps((50, 500)))
    teacher.forget()
    assert not taught(teacher, ("bad", 1))
    assert (model.seen, model.total) == (50, 500)


@pytest.mark.parametrize("one_by_one", [True, False])
def test_an_atomic_model_is_copied_only_where_examples_belong_together(one_by_one):
    model = Sum()
    model.atomic = True
    teacher = Teacher(model, one_by_one=one_by_one)
    assert taught(teacher, ("good", 1))
    assert not taught(teacher, ("bad", 1))
    assert bool(model.saved) is not one_by_one


class WeightedSum(Sum):
    def learn(self, features, label, weight=1):
        super().learn(features, label * weight)


def test_weights_are_learned_once_more_as_well():
    model = WeightedSum()
    teacher = Teacher(model, one_by_one=True)
    learn = teacher.learning_one()
    for number in range(10):
        learn("good", number, 3)
    learn("good", 7)
    before = model.total
    assert before == 3 * sum(range(10)) + 7
    with pytest.raises(NotLearned):
        learn("bad", 1, 2)
    assert model.total == before
