"""The scale of a gradient scaler is found at the loss, while a lens listens; and is left where nobody asks for it."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch

from gradlens.batch.loss_scale import SCALE, ScaleListener, scale_of, warn_that_scale_is_unknown
from gradlens.guards.patches import listen
from gradlens.guards.warning import GradlensWarning


@contextmanager
def listening(wanted=lambda: True, fail=None):
    failures: list[Exception] = []
    end = listen(SCALE, ScaleListener(wanted, fail or failures.append))
    try:
        yield failures
    finally:
        end()


def loss() -> torch.Tensor:
    return torch.ones(3, requires_grad=True).sum()


def scaler(scale: float = 8.0) -> torch.amp.GradScaler:
    made = torch.amp.GradScaler("cpu", init_scale=scale)
    made.scale(loss())  # a scaler makes its scale when it is first needed
    return made


def test_the_scale_is_found_above_sums_and_divisions():
    grad_scaler = scaler()
    with listening() as failures:
        scaled = grad_scaler.scale(loss())
    assert float(scaled.detach()) == 24.0
    assert float(scale_of([scaled])) == 8.0
    assert float(scale_of([loss(), scaled / 4 + loss()])) == 8.0
    assert scale_of([loss()]) is None
    assert failures == []


def test_the_scale_that_was_noted_does_not_change_with_the_scaler():
    grad_scaler = scaler()
    with listening():
        scaled = grad_scaler.scale(loss())
    found = scale_of([scaled])
    grad_scaler._scale.mul_(2)
    assert float(found) == 8.0


def test_each_loss_of_a_list_is_noted():
    grad_scaler = scaler(4.0)
    with listening():
        first, second = grad_scaler.scale([loss(), loss()])
    assert float(scale_of([second])) == float(scale_of([first])) == 4.0


@pytest.mark.parametrize("wanted", [True, False])
def test_nothing_is_noted_where_nobody_wants_it_or_listens(wanted):
    grad_scaler = scaler()
    if wanted:
        assert scale_of([grad_scaler.scale(loss())]) is None
        return
    with listening(wanted=lambda: False):
        assert scale_of([grad_scaler.scale(loss())]) is None


def test_a_disabled_scaler_has_no_scale():
    with listening():
        assert scale_of([torch.amp.GradScaler("cpu", enabled=False).scale(loss())]) is None


def test_an_error_of_ours_goes_to_the_listener():
    grad_scaler = scaler()
    with listening(wanted=lambda: 1 // 0) as failures:
        assert float(grad_scaler.scale(loss()).detach()) == 24.0
    assert [type(failure) for failure in failures] == [ZeroDivisionError]


def test_the_warning_names_the_cause_in_one_line():
    with pytest.warns(GradlensWarning, match=r"was not noted \(ValueError: one\); norms of this step include it"):
        warn_that_scale_is_unknown(ValueError("one\ntwo"))
