"""What can be logged: numbers and tensors of one element; a copy, so that the training may change the tensor."""

import math

import numpy as np
import pytest
import torch

from gradlens.reported.scalars import Arriving, as_number, check


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (3, 3.0), (True, 1.0), (0.5, 0.5), (np.float32(0.25), 0.25), (np.array([2.0]), 2.0), (torch.tensor(1.5), 1.5),
        (torch.tensor([[7]]), 7.0), (torch.tensor(0.1, dtype=torch.float16), float(torch.tensor(0.1).half())),
        (torch.ones((), requires_grad=True) * 2, 2.0), (10**400, math.inf),
    ],
)  # fmt: skip
def test_numbers(value, number):
    check(None, {"a": value})
    assert as_number(value) == number


@pytest.mark.parametrize(
    "value", [torch.ones(2), torch.empty(0), np.ones(3), "1", None, [1], 1j, torch.tensor(1j), np.complex64(1)]
)
def test_everything_else_is_refused(value):
    with pytest.raises(TypeError, match=r"log: a is a .*; give a number, or a tensor of one element"):
        check(None, {"a": value})


def test_steps_are_whole_numbers_from_0():
    check(np.int64(3), {})
    for step in (1.5, "2"):
        with pytest.raises(TypeError, match="is no whole number"):
            check(step, {})
    with pytest.raises(ValueError, match="step=-1; steps begin with 0"):
        check(-1, {})


def test_a_tensor_that_changes_later_is_logged_as_it_was():
    tensor = torch.ones(1)
    found = as_number(tensor)
    tensor.add_(1)
    assert found == 1.0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_number_from_a_gpu_is_not_waited_for():
    work = torch.randn(4000, 4000, device="cuda")
    tensor = torch.ones(1, device="cuda")
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(20):
            work = work @ work
        found = as_number(tensor)
        tensor.add_(1)
        assert isinstance(found, Arriving)
        assert not found.there
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert float(found) == 1.0
    assert found.there
