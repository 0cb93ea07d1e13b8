"""The registry of patches: who listens is served, and torch is as before when nobody does."""

from __future__ import annotations

from itertools import permutations
from types import SimpleNamespace

import pytest

from gradlens.guards.patches import Patch, listen


def recording(original, listeners):
    def wrapper(x):
        for listener in listeners.all:
            listener.append(x)
        return original(x)

    return wrapper


@pytest.fixture
def home():
    return SimpleNamespace(double=lambda x: 2 * x)


@pytest.fixture
def double(home):
    return home.double


@pytest.fixture
def patch(home):
    return Patch(home, "double", recording)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_listeners_leave_in_any_order(home, double, patch, order):
    heard = [[], [], []]
    leaves = [listen(patch, each) for each in heard]
    for number, gone in enumerate(order):
        assert home.double(number) == 2 * number
        leaves[gone]()
        leaves[gone]()
    assert home.double is double
    assert [len(heard[at]) for at in order] == [1, 2, 3]


def test_equal_listeners_are_told_apart(home, patch):
    first, second = [], []
    leave_first, leave_second = listen(patch, first), listen(patch, second)
    leave_first()
    home.double(1)
    assert (first, second) == ([], [1])
    leave_second()


def test_references_kept_from_before_serve_who_comes_later(home, double, patch):
    listen(patch, [])()
    leave = listen(patch, [])
    kept = home.double
    leave()
    heard = []
    leave = listen(patch, heard)
    assert kept(3) == home.double(3) == 6
    assert heard == [3, 3]
    leave()


def test_a_function_that_others_have_wrapped_stays(home, double, patch):
    first, second = [], []
    leave = listen(patch, first)
    below = home.double
    home.double = others = lambda x: below(x) + 1
    leave()
    assert home.double is others
    assert home.double(1) == 3
    assert first == []
    leave = listen(patch, second)
    assert home.double is others
    assert home.double(1) == 3
    assert second == [1]
    home.double = below  # the others take theirs back
    leave()
    assert home.double is double


def test_a_function_that_others_replaced_while_nobody_listened(home, patch):
    listen(patch, [])()
    home.double = others = lambda x: x + x
    heard = []
    leave = listen(patch, heard)
    assert home.double(2) == 4
    assert heard == [2]
    leave()
    assert home.double is others


def test_the_original_put_back_by_others_is_replaced_for_the_next(home, double, patch):
    first, second = [], []
    leaves = [listen(patch, first)]
    home.double = double
    leaves.append(listen(patch, second))
    home.double(5)
    assert first == second == [5]
    for leave in leaves:
        leave()


def test_two_patches_of_one_function(home, double, patch):
    other = Patch(home, "double", recording)
    first, second = [], []
    leave_first, leave_second = listen(patch, first), listen(other, second)
    home.double(1)
    leave_first()
    home.double(2)
    leave_second()
    assert home.double is double
    assert (first, second) == ([1], [1, 2])


def test_what_a_class_inherits_is_inherited_again():
    class Base:
        def name(self):
            return "base"

    class Derived(Base):
        pass

    leave = listen(Patch(Derived, "name", lambda original, _: lambda self: original(self) + "!"), None)
    assert Derived().name() == "base!"
    assert Base().name() == "base"
    leave()
    assert "name" not in vars(Derived)
