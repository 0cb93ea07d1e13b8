"""Where vectors stand among the recorded ones, and which passes are over the same samples."""

from __future__ import annotations

import pytest
import torch

from gradlens.batch.rows import group_rows
from gradlens.batch.same_samples import Samples
from gradlens.groups import ClassGroups
from gradlens.measure.step_passes import StepPasses
from gradlens.measure.step_state import Positions, StepState


@pytest.mark.parametrize(("components", "groups"), [(1, 3), (2, 3), (3, 1)])
def test_positions_are_those_of_the_recorded_names(components, groups):
    parts, names = [f"c{c}" for c in range(components)], [f"g{g}" for g in range(groups)]
    recorded = [*(f"{c}/{g}" for c in parts for g in names), "rest", "update"]
    at = Positions(components, groups)
    assert [recorded[at.of(c, g)] for c in range(components) for g in range(groups)] == recorded[:-2]
    assert recorded[at.rest] == "rest"
    assert recorded[at.update] == "update"


def state() -> StepState:
    params = [torch.nn.Parameter(torch.ones(2))]
    return StepState(StepPasses(params, 2, alone=True, copies=False), Positions(1, 2))


def test_a_new_state_of_the_same_step_keeps_only_its_passes_and_how_often_they_were_lost():
    before = state()
    before.restarts, before.rests, before.difference, before.rounding = 2, 1, 0, 0.5
    after = before.without_passes()
    assert (after.restarts, after.rests, after.difference, after.rounding) == (2, 1, None, 0.0)
    assert after.passes is before.passes
    assert after.sums is before.passes.sums


def samples_of(anchor: torch.Tensor, labels: torch.Tensor) -> Samples:
    return Samples.of([anchor], labels, group_rows(labels, ClassGroups({"a": [0], "b": [1]}, 2), anchor))


def test_two_losses_of_one_forward_pass_are_over_the_same_samples():
    labels, step = torch.tensor([0, 1, 1, 0]), state()
    logits = torch.randn(4, 2, requires_grad=True) * 2
    others = torch.randn(4, 2, requires_grad=True) * 2
    assert step.take(samples_of(logits, labels)) is False
    assert step.take(samples_of(logits, labels)) is True
    assert step.take(samples_of(others, labels)) is False
    assert step.take(samples_of(others, 1 - labels)) is False
