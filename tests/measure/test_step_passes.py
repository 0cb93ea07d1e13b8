"""Which passes of a step still count when a script zeroes ``.grad`` between them. The gradients are set by hand."""

from __future__ import annotations

import pytest
import torch

from gradlens.measure.step_passes import KEPT, StepPasses


class Script:
    """Two parameters of one number each, and passes that leave gradients in them."""

    def __init__(self, *, copies: bool = False) -> None:
        self.params = [torch.nn.Parameter(torch.ones(1)) for _ in range(2)]
        self.passes = StepPasses(self.params, 1, alone=True, copies=copies)

    def run(self, *values: float) -> bool:
        """One pass; returns whether it was the first one that counts."""
        first = self.passes.begin(None, looks=True)
        self.passes.sums.note([torch.tensor(1.0)])
        self.passes.sums.add(0, [torch.tensor([value]) for value in values])
        for param, value in zip(self.params, values, strict=True):
            param.grad = torch.tensor([value]) if param.grad is None else param.grad + value
        self.passes.hold(copied=False)
        return first

    def zero(self, *params: torch.nn.Parameter) -> None:
        for param in params or self.params:
            param.grad = None

    @property
    def total(self) -> list[float | None]:
        total = self.passes.sums.total
        assert total is not None
        return [None if part is None else float(part) for part in total]


def test_passes_whose_gradients_stay_add_up():
    script = Script()
    assert script.run(1.0, 10.0)
    assert not script.run(2.0, 20.0)
    assert script.total == [3.0, 30.0]
    assert script.passes.totals == ()


def test_a_pass_whose_gradients_were_zeroed_is_set_aside_and_can_join():
    script = Script()
    script.run(1.0, 10.0)
    script.zero()
    assert not script.run(2.0, 20.0)  # the earlier one may still count
    assert script.total == [2.0, 20.0]
    (aside,) = script.passes.totals
    assert [float(part) for part in aside] == [1.0, 10.0]

    script.passes.join()

    assert script.passes.joined
    assert script.total == [3.0, 30.0]
    assert [float(part) for part in script.passes.sums.vectors[0]] == [3.0, 30.0]


def test_a_pass_at_other_weights_is_lost():
    script = Script()
    script.run(1.0, 10.0)
    with torch.no_grad():
        script.params[0].add_(1)
    script.zero()
    assert script.run(2.0, 20.0)
    assert script.passes.totals == ()
    script.passes.join()
    assert not script.passes.joined
    assert script.total == [2.0, 20.0]


def test_only_the_part_of_some_parameters_is_set_aside():
    script = Script()
    script.run(1.0, 10.0)
    script.zero(script.params[0])
    script.run(2.0, 20.0)
    assert script.total == [2.0, 30.0]
    (aside,) = script.passes.totals
    assert float(aside[0]) == 1.0
    assert aside[1] is None


@pytest.mark.parametrize("copies", [False, True])
def test_a_gradient_that_was_written_to_before_it_was_zeroed_needs_a_copy(copies):
    script = Script(copies=copies)
    script.run(1.0, 10.0)
    for param in script.params:
        param.grad.mul_(0.1)  # clipped
    script.zero()
    script.run(2.0, 20.0)
    assert script.passes.written is not copies
    assert len(script.passes.totals) == copies
    if copies:
        assert [float(part) for part in script.passes.totals[0]] == [1.0, 10.0]


def test_of_many_passes_the_earliest_are_added_up():
    script = Script()
    for number in range(KEPT + 3):
        script.run(2.0**number, 0.5)
        script.zero()
    script.run(0.25, 0.5)
    totals = [float(total[0]) for total in script.passes.totals]
    assert len(totals) == KEPT
    assert totals[0] == 1 + 2 + 4 + 8
    assert totals[1:] == [2.0**number for number in range(4, KEPT + 3)]
