"""When an optimizer is about to step, and when it has: also inside of a backward pass, where a step counts after it."""

from __future__ import annotations

import pytest
import torch

from gradlens.measure.optimizer_hooks import StepHooks


class Heard:
    """An optimizer whose steps are heard of."""

    def __init__(self, rested: bool = False) -> None:
        self.calls: list[str] = []
        self.failures: list[Exception] = []
        self.rested = rested
        self.hooks = StepHooks(lambda: self.rested, self.after, self.failures.append)
        self.param = torch.nn.Parameter(torch.ones(1))
        self.param.grad = torch.ones(1)
        self.optimizer = torch.optim.SGD([self.param], lr=0.1)
        self.hooks.follow(self.optimizer)
        self.hooks.before(self.before)

    def before(self, optimizer: torch.optim.Optimizer) -> None:
        self.calls.append("before")

    def after(self) -> None:
        self.calls.append("after")


def test_a_step_is_heard_before_and_after():
    heard = Heard()
    heard.optimizer.step()
    assert heard.calls == ["before", "after"]


def test_a_step_that_is_not_measured_calls_nothing_more():
    heard = Heard(rested=True)
    heard.optimizer.step()
    assert heard.calls == ["before"]


def test_only_the_newest_optimizer_is_followed():
    heard = Heard()
    other = torch.optim.SGD([heard.param], lr=0.1)
    heard.hooks.follow(other)
    heard.optimizer.step()
    assert heard.calls == []
    other.step()
    assert heard.calls == ["after"]
    heard.hooks.follow(None)
    other.step()
    assert heard.calls == ["after"]


@pytest.mark.parametrize("fails", [False, True])
def test_steps_inside_of_a_backward_pass_count_once_it_is_over(fails):
    heard = Heard()

    def backward() -> None:
        heard.optimizer.step()
        heard.optimizer.step()
        assert heard.calls == []
        if fails:
            raise ArithmeticError

    if fails:
        with pytest.raises(ArithmeticError):
            heard.hooks.around(backward)
    else:
        heard.hooks.around(backward)
    assert heard.calls == ["after"]
    assert heard.hooks.stepped
    heard.hooks.around(lambda: None)
    assert not heard.hooks.stepped
    assert heard.calls == ["after"]


def test_an_error_of_ours_does_not_reach_the_step():
    heard = Heard()
    heard.hooks._after = lambda: 1 // 0
    heard.optimizer.step()
    assert float(heard.param.detach()) == pytest.approx(0.9)
    assert [type(failure) for failure in heard.failures] == [ZeroDivisionError]


def test_only_steps_that_ask_for_it_are_heard_of_before():
    heard = Heard()
    heard.hooks.before(None)
    heard.optimizer.step()
    assert heard.calls == ["after"]
    assert not heard.optimizer._optimizer_step_pre_hooks


def test_a_hook_that_is_unwanted_while_torch_calls_hooks_goes_after_the_step():
    heard = Heard()
    heard.hooks.before(lambda _: 1 // 0)  # its error makes gradlens drop the step
    heard.hooks._fail = lambda error: (heard.failures.append(error), heard.hooks.before(None))
    last = heard.optimizer.register_step_pre_hook(lambda *_: heard.calls.append("theirs"))
    heard.optimizer.step()
    assert [type(failure) for failure in heard.failures] == [ZeroDivisionError]
    assert heard.calls == ["theirs", "after"]
    assert list(heard.optimizer._optimizer_step_pre_hooks) == [last.id]
