"""The training's backward pass runs once, its errors are its own, and its hooks are called in it."""

from __future__ import annotations

import pytest

from gradlens.guards.own_pass import OwnPass, in_own_pass
from gradlens.guards.run_once import RunOnce


def test_it_runs_once_after_what_must_come_before():
    order = []
    once = RunOnce(lambda: order.append("backward"))
    once.before = lambda: order.append("before")
    assert not once.ran

    once()

    assert order == ["before", "backward"]
    assert once.ran
    assert once.error is None
    with pytest.raises(AssertionError, match="asked for twice"):
        once()
    assert order == ["before", "backward"]


def test_an_error_of_the_training_is_raised_and_noted():
    def backward() -> None:
        raise KeyboardInterrupt

    once = RunOnce(backward)
    with pytest.raises(KeyboardInterrupt):
        once()
    assert isinstance(once.error, KeyboardInterrupt)
    assert once.ran


def test_the_training_goes_on_where_undoing_fails():
    order = []
    once = RunOnce(lambda: order.append("backward"))
    once.before = lambda: 1 // 0
    with pytest.raises(ZeroDivisionError):
        once()
    assert order == ["backward"]
    assert once.error is None  # the error is ours


def test_inside_an_own_pass_the_hooks_of_the_script_hear_of_it():
    heard = []
    with OwnPass():
        assert in_own_pass()
        RunOnce(lambda: heard.append(in_own_pass()))()
    assert heard == [False]


def test_its_time_is_taken(monkeypatch):
    times = iter([10.0, 12.5])
    monkeypatch.setattr("gradlens.guards.run_once.time.perf_counter", lambda: next(times))
    once = RunOnce(lambda: None)
    once()
    assert once.seconds == 2.5
