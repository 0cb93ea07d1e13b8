"""What functions can remember from one pass to the next is found, and put back as it was."""

from __future__ import annotations

import functools
import random
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from gradlens.measure.preflight.reachable_state import LONGEST, ReachableState, restorer

COUNTER = 0


def generator() -> tuple[Callable[[], Any], Callable[[], Any]]:
    drawn = torch.Generator().manual_seed(1)
    return lambda: torch.rand(1, generator=drawn), lambda: drawn.get_state().tolist()


def numpy_generator() -> tuple[Callable[[], Any], Callable[[], Any]]:
    drawn = np.random.default_rng(1)
    return lambda: drawn.random(), lambda: repr(drawn.bit_generator.state)


def old_numpy_generator() -> tuple[Callable[[], Any], Callable[[], Any]]:
    drawn = np.random.RandomState(1)
    return lambda: drawn.rand(), lambda: repr(drawn.get_state())


def python_generator() -> tuple[Callable[[], Any], Callable[[], Any]]:
    drawn = random.Random(1)
    return lambda: drawn.random(), lambda: drawn.getstate()


def nested_containers() -> tuple[Callable[[], Any], Callable[[], Any]]:
    table: dict[str, Any] = {"calls": [0], "seen": {1}}

    def call() -> None:
        table["calls"][0] += 1
        table["seen"].add(table["calls"][0] + 1)
        table["new"] = True

    return call, lambda: repr(table)


def closure() -> tuple[Callable[[], Any], Callable[[], Any]]:
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += 1

    return call, lambda: calls


def variable_of_the_module() -> tuple[Callable[[], Any], Callable[[], Any]]:
    def call() -> None:
        global COUNTER
        COUNTER += 1

    return call, lambda: COUNTER


def attribute_behind_a_method() -> tuple[Callable[[], Any], Callable[[], Any]]:
    class Table:
        def __init__(self) -> None:
            self.largest = torch.zeros(2)
            self.calls = 0

        def call(self) -> None:
            self.calls += 1
            self.largest.add_(1)

    table = Table()
    return table.call, lambda: (table.calls, table.largest.tolist())


def default_argument() -> tuple[Callable[[], Any], Callable[[], Any]]:
    calls = [0]

    def call(kept: list[int] = calls) -> None:
        kept.append(1)

    return call, lambda: list(calls)


def array() -> tuple[Callable[[], Any], Callable[[], Any]]:
    numbers, names = np.ones(3), np.array(["a", None], dtype=object)

    def call() -> None:
        numbers[:] *= 0.5
        names[1] = "b"

    return call, lambda: (numbers.tolist(), names.tolist())


def queue() -> tuple[Callable[[], Any], Callable[[], Any]]:
    values, text = deque([1, 2, 3], maxlen=3), bytearray(b"abc")

    def call() -> None:
        values.append(4)
        text.append(100)

    return call, lambda: (list(values), bytes(text))


class Slots:
    __slots__ = ("calls", "unset")

    def __init__(self) -> None:
        self.calls = 0


def slots_behind_a_partial() -> tuple[Callable[[], Any], Callable[[], Any]]:
    kept = Slots()

    def call(slots: Slots) -> None:
        slots.calls += 1

    return functools.partial(call, kept), lambda: kept.calls


STATES = [
    generator, numpy_generator, old_numpy_generator, python_generator, nested_containers, closure, variable_of_the_module,
    attribute_behind_a_method, default_argument, array, queue, slots_behind_a_partial,
]  # fmt: skip


@pytest.mark.parametrize("make", STATES, ids=lambda make: make.__name__)
def test_a_state_is_put_back(make):
    call, look = make()
    before = look()
    state = ReachableState([call])
    assert state.restore() is False

    for _ in range(2):
        call()
        assert look() != before
        assert state.restore() is True
        assert look() == before


def test_long_containers_are_data_and_left_alone():
    data = [0] * (LONGEST + 1)

    def call() -> None:
        data[0] += 1

    state = ReachableState([call])
    call()
    assert state.restore() is False
    assert data[0] == 1


def test_a_tensor_gets_its_version_back_too():
    tensor = torch.ones(2)
    undo, version = restorer(tensor), tensor._version
    assert undo() is False
    tensor.mul_(3)
    assert undo() is True
    assert tensor.tolist() == [1.0, 1.0]
    assert tensor._version == version
