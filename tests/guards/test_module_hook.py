"""Hooks of ours on modules: in order, taken off for a time, and gone from copies of a module's attributes."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch import nn

from gradlens.guards.module_hook import InstalledHook, StepHook, away, listening


def fail(error: Exception) -> None:
    raise AssertionError from error


def installed(module, heard, name, **how):
    options = {"before": False, "first": False, "with_kwargs": False} | how
    return InstalledHook(module, StepHook(lambda *_: heard.append(name), fail), **options)


def test_hooks_run_in_the_order_asked_for():
    heard: list[str] = []
    module = nn.Identity()
    module.register_forward_hook(lambda *_: heard.append("script"))
    kept = [installed(module, heard, "last"), installed(module, heard, "first", first=True)]
    kept.append(installed(module, heard, "before", before=True))
    assert listening()

    module(torch.zeros(1))
    assert heard == ["before", "first", "script", "last"]

    heard.clear()
    with away():
        module(torch.zeros(1))
        assert heard == ["script"]
        kept.pop().remove()  # stays off when the block ends
    heard.clear()
    module(torch.zeros(1))
    assert heard == ["first", "script", "last"]

    for each in kept:
        each.remove()
    assert not listening()
    assert len(module._forward_hooks) == 1
    assert not module._forward_pre_hooks


@pytest.mark.parametrize("hidden", [False, True])
def test_keyword_arguments_are_given_also_after_the_hook_was_away(hidden):
    seen = []

    class Scaled(nn.Module):
        def forward(self, x, factor):
            return x * factor

    module = Scaled()
    hook = StepHook(lambda module, args, kwargs: seen.append(kwargs), fail)
    one = InstalledHook(module, hook, before=True, first=False, with_kwargs=True)
    if hidden:
        with away():
            pass
    module(torch.ones(1), factor=3)
    one.remove()
    assert seen == [{"factor": 3}]
    assert not module._forward_pre_hooks_with_kwargs


def test_an_error_of_the_hook_does_not_reach_the_forward_pass():
    failures: list[Exception] = []
    module = nn.Identity()
    one = InstalledHook(
        module, StepHook(lambda *_: 1 // 0, failures.append), before=False, first=False, with_kwargs=False
    )
    assert module(torch.ones(1)).tolist() == [1.0]
    one.remove()
    assert [type(failure) for failure in failures] == [ZeroDivisionError]


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_a_trace_is_not_heard():
    heard: list[str] = []
    module = nn.Linear(1, 1)
    one = installed(module, heard, "hook")
    torch.jit.trace(module, torch.ones(1, 1), check_trace=False)
    one.remove()
    assert heard == []


def test_what_is_copied_in_its_place_does_nothing():
    copy = pickle.loads(pickle.dumps(StepHook(lambda *_: None, fail)))
    assert "gradlens" not in type(copy).__module__
    assert copy(nn.Identity(), (1,), 2) is None
