"""How threads of Kafka's client are scheduled."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from headrace.kafka.scheduling import as_batch_work

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="scheduling policies are Linux's")


def in_thread(work) -> list:
    found = []
    thread = threading.Thread(target=lambda: found.extend(work()))
    thread.start()
    thread.join()
    return found


told = getattr(os, "sched_getscheduler", None)  # as it is, whatever a test puts in its place


def policy() -> list[int]:
    return [told(0)]


def test_threads_started_inside_are_batch_work_and_the_one_that_starts_them_is_as_before():
    with as_batch_work():
        assert in_thread(policy) == [os.SCHED_BATCH]
    assert policy() == [os.SCHED_OTHER]
    assert in_thread(policy) == [os.SCHED_OTHER]


def test_an_error_inside_doesnt_leave_the_policy_behind():
    with pytest.raises(ValueError, match="inside"), as_batch_work():
        raise ValueError("inside")
    assert policy() == [os.SCHED_OTHER]


def test_another_policy_is_left_alone():
    def work() -> list[int]:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        with as_batch_work():
            inside = in_thread(policy)
        return inside + policy()

    assert in_thread(work) == [os.SCHED_IDLE, os.SCHED_IDLE]


@pytest.mark.parametrize("call", ["sched_setscheduler", "sched_getscheduler"])
def test_where_it_is_forbidden_nothing_happens(monkeypatch, call):
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, call, refused)
    with as_batch_work():
        assert in_thread(policy) == [os.SCHED_OTHER]
    assert policy() == [os.SCHED_OTHER]
