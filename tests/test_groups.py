"""ClassGroups: the constructors, what they refuse, and the JSON that runs keep."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from gradlens import ClassGroups
from gradlens.class_ids import GroupsError


def test_given_groups_keep_their_order_and_sort_their_ids() -> None:
    groups = ClassGroups({"tail": [5, 3, 3], "head": range(2)}, 7)
    assert groups.names == ("tail", "head")
    assert groups.classes == ((3, 5), (0, 1))
    assert len(groups) == 2
    assert groups.of_class().tolist() == [1, 1, -1, 0, -1, 0, -1]
    assert groups.fractions().tolist() == [0.5, 0.5]
    assert groups.fractions([1, 2, 0, 3, 9, 0, 9]).tolist() == [0.5, 0.5]


def test_head_tail_by_the_papers_rule() -> None:
    counts = [500, 20, 19, 100, 0]
    groups = ClassGroups.head_tail(counts)
    assert groups.classes == ((0, 1, 3), (2, 4))
    assert groups.names == ("head", "tail")
    assert "at least 20 images" in groups.rule


@pytest.mark.parametrize(
    ("counts", "head", "word"),
    [
        ([500] * 10, tuple(range(7)), "20 images or more"),
        ([3, 9, 5, 8, 1, 2, 4, 7, 6, 0], (0, 1, 2, 3, 6, 7, 8), "20 images or fewer"),
        ([50, 50], (0,), "or more"),
        ([7, 8, 9], (1, 2), "or fewer"),
    ],
)
def test_where_the_rule_separates_nothing_the_most_frequent_70_percent_are_the_head(
    counts: list[int], head: tuple[int, ...], word: str
) -> None:
    groups = ClassGroups.head_tail(counts)
    assert groups.classes[0] == head
    assert sorted(groups.classes[0] + groups.classes[1]) == list(range(len(counts)))
    assert "70/30" in groups.rule
    assert word in groups.rule


def test_cifar100_lt_has_the_papers_70_and_30_classes() -> None:
    """Counts n_c = 500 * 100 ** (-c / 99), truncated (CIFAR100-LT with imbalance factor 100)."""
    counts = [int(500 * 0.01 ** (c / 99)) for c in range(100)]
    assert [len(ids) for ids in ClassGroups.head_tail(counts).classes] == [70, 30]
    shots = ClassGroups.shots(counts)
    assert dict(zip(shots.names, map(len, shots.classes), strict=True)) == {"many": 35, "medium": 35, "few": 30}


def test_shots_at_their_boundaries() -> None:
    groups = ClassGroups.shots(np.array([101, 100, 20, 19]))
    assert dict(zip(groups.names, groups.classes, strict=True)) == {"many": (0,), "medium": (1, 2), "few": (3,)}
    assert ClassGroups.shots([200, 300]).names == ("many",)


def test_parse_reads_ranges_and_lists() -> None:
    groups = ClassGroups.parse(" head=0-2, odd=3+5 ,tail=6-7+9", 10)
    assert dict(zip(groups.names, groups.classes, strict=True)) == {"head": (0, 1, 2), "odd": (3, 5), "tail": (6, 7, 9)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot read ''.*NAME=IDS"),
        ("head", "cannot read 'head'.*e.g. head=0-69,tail=70-99"),
        ("head=", "cannot read 'head='"),
        ("head=0-", "cannot read ids '0-'"),
        ("head=a", "cannot read ids 'a'"),
        ("head=0:3", "cannot read ids '0:3'"),
        ("head=5-3", "'5-3'.*backwards; write 3-5"),
        ("a=0,a=1", "'a' is named twice.*join its ids with"),
        ("a=0-10", "class id 10, but ids of 10 classes run from 0 to 9"),
        ("a=0-99999999999", "'0-99999999999'.*holds more than 1,000,000 classes"),
        ("a=99999999999-99999999999", "class id 99999999999, but"),
        ("a=\u00b2", "cannot read ids '\u00b2'"),
        ("a=0-3,b=3-4", "class 3 is in both 'a' and 'b'; groups must not overlap, so leave it in one"),
    ],
)
def test_text_that_is_no_groups_says_the_grammar(text: str, message: str) -> None:
    with pytest.raises(GroupsError, match=message):
        ClassGroups.parse(text, 10)


@pytest.mark.parametrize(
    ("given", "classes", "message"),
    [
        ({}, 3, "no groups given"),
        ({"a": []}, 3, "'a' is empty"),
        ({"a": [-1]}, 3, "class id -1"),
        ({"a": [3]}, 3, "class id 3, but ids of 3 classes run from 0 to 2"),
        ({"a": [0]}, 0, "num_classes is 0"),
        ({"rest": [0]}, 3, "'rest' is reserved"),
        ({"update": [0]}, 3, "reserved"),
        ({"all": [0]}, 3, "reserved"),
        ({"a/b": [0]}, 3, "holds '/'"),
        ({" ": [0]}, 3, "not a non-empty text"),
        ({3: [0]}, 3, "not a non-empty text"),
        ({"a": [True, False, True]}, 3, "'a' is a mask; np.flatnonzero"),
        ({"a": np.array([False, True, True])}, 3, "'a' is a mask"),
        ({"a": torch.tensor([False, True, True])}, 3, "'a' is a mask"),
        ({"a": [0.5]}, 3, "'a' is float64.*whole numbers"),
        ({"a": "01"}, 3, "holds '01', which is no list of class ids"),
        ({"a": 1}, 3, "holds 1, which is no list"),
        ({"a": None}, 3, "holds None, which is no list"),
        ([[0], [1]], 3, "groups are list; give a dict"),
        ({"a": [0]}, 2.5, "num_classes is 2.5"),
        ({"a": [0]}, "3", "num_classes is '3'"),
    ],
)
def test_groups_that_cannot_be(given: Any, classes: int, message: str) -> None:
    with pytest.raises(GroupsError, match=message):
        ClassGroups(given, classes)


@pytest.mark.parametrize("counts", [[], [[1, 2]], [1, -1], [1, float("nan")], "many", [1, None, [2]]])
def test_counts_that_are_none(counts: Any) -> None:
    for make in (ClassGroups.head_tail, ClassGroups.shots):
        with pytest.raises(GroupsError, match="one non-negative number per class"):
            make(counts)


def test_one_class_has_no_head_and_tail() -> None:
    with pytest.raises(GroupsError, match="at least two classes"):
        ClassGroups.head_tail([50])


def test_json_round_trip() -> None:
    for groups in (ClassGroups.shots([300, 50, 3]), ClassGroups.per_class(3), ClassGroups({"é, x": [1]}, 2)):
        again = ClassGroups.from_json(json.loads(json.dumps(groups.to_json())))
        assert again == groups
        assert again.rule == groups.rule


@pytest.mark.parametrize(
    "obj", [{}, {"groups": {"a": [0]}}, {"groups": 3, "num_classes": 3}, {"groups": {"a": 0}, "num_classes": 3}]
)
def test_json_that_is_no_groups(obj: Any) -> None:
    with pytest.raises(
        GroupsError, match=r"not a description of class groups|groups are int; give a dict|no list of class ids"
    ):
        ClassGroups.from_json(obj)


def test_it_says_what_it_is() -> None:
    assert (
        repr(ClassGroups.parse("head=0-2,tail=4+5+9", 10))
        == "ClassGroups(head: 0-2, tail: 4-5+9; 10 classes; given as text)"
    )
    many = repr(ClassGroups.per_class(100))
    assert "5: 5, ... 94 more; 100 classes" in many
    assert len(many) < 120
    scattered = repr(ClassGroups({"even": range(0, 100, 2)}, 100))
    assert "even: 0+2+4+6+8+10+12+14+... (50 classes)" in scattered
