"""Steps before there is a lens are counted for each optimizer, and by backward passes where there is none."""

from __future__ import annotations

import torch

from gradlens.tracking.attach.step_count import StepCount


def optimizer() -> torch.optim.Optimizer:
    param = torch.nn.Parameter(torch.ones(1))
    param.grad = torch.ones(1)
    return torch.optim.SGD([param], lr=0.1)


def test_each_optimizer_has_its_own_steps():
    before, first, second = optimizer(), optimizer(), optimizer()
    before.step()
    count = StepCount(lambda error: None)
    for each in (first, second, first):
        each.step()
    count.end()
    first.step()
    assert [count.of(each) for each in (before, first, second)] == [0, 2, 1]


def test_backward_passes_are_steps_where_no_optimizer_steps():
    count = StepCount(lambda error: None)
    found = [count.of(None)]
    for _ in range(3):
        count.backward_ran()
        found.append(count.of(None))
    count.end()
    assert found == [0, 0, 1, 2]  # the pass that runs now does not count


def test_whether_the_step_has_begun():
    count, each = StepCount(lambda error: None), optimizer()
    found = []
    for accumulated in (1, 2):
        for _ in range(accumulated):
            count.backward_ran()
            found.append(count.begun())
        each.step()
    count.end()
    assert found == [False, False, True]


def test_an_error_of_ours_does_not_reach_the_step():
    failures: list[Exception] = []
    count, each = StepCount(failures.append), optimizer()
    count.others.stepped = lambda optimizer: 1 // 0
    each.step()
    count.end()
    assert count.of(each) == 1
    assert [type(failure) for failure in failures] == [ZeroDivisionError]
