"""What becomes of a result: the newest is kept, wrong numbers are said once of a kind, and each event is logged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from gradlens.guards.warning import GradlensWarning
from gradlens.measure.pending_result import PendingResult, Plan
from gradlens.measure.recorder import Recorder
from gradlens.metrics.layer_parts import layer_parts


class Log:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.events: list[tuple[str, int | None, dict[str, Any]]] = []
        self.measurements: list[Any] = []

    def event(self, kind: str, step: int | None, **facts: Any) -> None:
        self.events.append((kind, step, facts))

    def append(self, measurement: Any) -> None:
        self.measurements.append(measurement)

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _, _ in self.events]


def pending(
    residual: float = 0.0, disagreement: float = 0.0, loss: float = 1.0, size: float = 4.0, rounding: float = 0.0
) -> PendingResult:
    plan = Plan(size=2, computed=(0, 1), difference=None, update=None, rounding=rounding)
    # The vectors are (0, root of size), 0 and the total (2, 0). What was pulled back for the check is the total minus these two,
    # and a part of the total that makes the residual.
    rows = torch.tensor([[2 - 2 * residual, -(size**0.5)], [0, size**0.5], [0, 0], [2, 0]], dtype=torch.float64)
    return PendingResult.start(
        plan, layer_parts((0,), 1, (0,), (0,)), (rows @ rows.T)[None], torch.zeros(2, 1), torch.tensor(loss),
        torch.tensor(disagreement), np.array([3.0]),
    )  # fmt: skip


def recorder() -> tuple[Recorder, Log, list[str]]:
    log, said = Log(), []
    return Recorder(log, (), said.append), log, said


def take(each: Recorder, step: int, result: PendingResult, stepped: torch.Tensor | None = None) -> None:
    each.take(step, None, ("head", "rest"), result, 0.5, stepped)


def test_a_result_is_logged_at_once_on_the_host():
    each, log, said = recorder()
    take(each, 7, pending(loss=2.5))
    (measurement,) = log.measurements
    assert measurement is each.last
    assert (measurement.step, measurement.total_loss, measurement.seconds) == (7, 2.5, 0.5)
    assert measurement.gram.tolist() == [[4.0, 0.0], [0.0, 0.0]]
    assert measurement.layers is None
    assert (log.events, said) == ([], [])


def test_contributions_that_do_not_add_up_are_said_once_and_logged_each_time():
    each, log, said = recorder()
    for step in range(3):
        take(each, step, pending(residual=0.01))
    assert log.kinds == ["residual"] * 3
    assert len(said) == 1
    assert "miss the gradient by 1.0e-02 of its size at step 0" in said[0]


@pytest.mark.parametrize(("rounding", "seen"), [(0.0, True), (2.0**-8, False)])
def test_reduced_precision_is_no_disagreement(rounding, seen):
    each, log, said = recorder()
    reasons: list[str] = []
    each.on_disagreement = reasons.append
    take(each, 3, pending(residual=0.01, disagreement=0.01, rounding=rounding))
    assert log.kinds == (["residual"] if seen else [])
    assert len(said) == len(reasons) == seen
    assert reasons == (["differs by 1.0e-02 from the masked engine at step 3"] if seen else [])


def test_losses_that_are_not_finite_are_logged_where_they_begin():
    each, log, _ = recorder()
    for step, loss in enumerate([1.0, float("nan"), float("inf"), 1.0, float("nan")]):
        take(each, step, pending(loss=loss))
    assert [(kind, step) for kind, step, _ in log.events] == [("nonfinite", 1), ("nonfinite", 4)]
    assert log.events[0][2] == {"message": "the loss is nan"}
    take(each, 9, pending(size=float("inf")))
    take(each, 10, pending())
    take(each, 11, pending(size=float("inf")))
    assert log.events[-1] == ("nonfinite", 11, {"message": "the gradient is not finite"})


@pytest.mark.parametrize(
    ("scale", "rest", "kinds"),
    [(1.0, 0.0, []), (0.5, 0.01, ["stepped scale"]), (0.5, 0.3, ["stepped"]), (float("nan"), 0.0, [])],
)
def test_what_steps_is_compared_with_what_was_measured(scale, rest, kinds):
    each, log, said = recorder()
    take(each, 2, pending(), torch.tensor([scale, rest]))
    assert log.kinds == kinds
    assert len(said) == kinds.count("stepped")
    if said:
        assert "(step 2: 30% of it has another direction)" in said[0]


def test_layers_that_change_end_the_columns_of_layers():
    log, said = Log(), []
    each = Recorder(log, ("0", "2"), said.append)
    each.check_layers(("0", "2"), 4)
    assert each.layers == ("0", "2")
    each.check_layers(("0", "3"), 5)
    each.check_layers(("0", "4"), 6)
    assert each.layers == ()
    assert [(kind, step) for kind, step, _ in log.events] == [("layers", 5)]
    assert len(said) == 1


def test_without_a_log_and_a_listener_it_is_a_warning():
    each = Recorder(None, ())
    take(each, 1, pending())
    assert each.last is not None
    each.misuse(None, 1)
    with pytest.warns(GradlensWarning, match="^gradlens: look here$"):
        each.misuse("look here", 1)
