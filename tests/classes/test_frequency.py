"""Head, middle and tail by frequency, against numbers worked by hand and a plain loop."""

from __future__ import annotations

import numpy as np
import pytest

from gradlens import ClassGroups
from gradlens.class_ids import GroupsError


def test_limits_worked_by_hand():
    # 1000 tokens: 800 reach 80 % exactly, 950 reach 95 %.
    groups = ClassGroups.by_frequency([20, 800, 0, 100, 50, 30])
    assert groups.names == ("head", "middle", "tail")
    assert groups.classes == ((1,), (3, 4), (0, 2, 5))
    assert groups.num_classes == 6
    assert "80%" in groups.rule
    assert "15%" in groups.rule
    assert "5%" in groups.rule


def test_the_class_that_reaches_a_limit_is_in_the_more_frequent_group():
    # 70 %, then 85 %: the second class reaches 80 %. 95 % is reached with the third.
    assert ClassGroups.by_frequency([700, 150, 100, 30, 20]).classes == ((0, 1), (2,), (3, 4))


def test_equally_frequent_classes_are_in_one_group():
    assert ClassGroups.by_frequency([60, 10, 10, 10, 10]).classes == ((0, 1, 2, 3, 4),)


def test_ids_that_are_no_classes_belong_to_no_group():
    groups = ClassGroups.by_frequency([900, 80, 15, 5], without=(0, -100))
    assert groups.classes == ((1,), (2,), (3,))
    assert groups.of_class().tolist() == [-1, 0, 1, 2]


def test_a_vocabulary_after_zipf_against_a_plain_loop():
    # All counts are different, so that no tie is at a limit.
    counts = np.random.default_rng(0).permutation((1e6 / np.arange(1, 301) ** 1.1).astype(int))
    assert len(set(counts)) == 300
    groups = ClassGroups.by_frequency(counts, head=0.6, tail=0.1)
    expected: dict[str, list[int]] = {"head": [], "middle": [], "tail": []}
    before = 0
    for c in sorted(range(300), key=lambda c: -counts[c]):
        share = before / counts.sum()
        expected["head" if share < 0.6 else "middle" if share < 0.9 else "tail"].append(c)
        before += counts[c]
    assert {name: sorted(ids) for name, ids in expected.items()} == dict(
        zip(groups.names, map(list, groups.classes), strict=True)
    )


@pytest.mark.parametrize(
    ("counts", "parts", "text"),
    [
        ([0, 0], {}, "no class was counted"),
        ([3, 1], {"head": 0}, "head=0"),
        ([3, 1], {"head": 0.9, "tail": 0.2}, "tail=0.2"),
        ([3, -1], {}, "non-negative"),
    ],
)
def test_what_cannot_be_used_is_said(counts, parts, text):
    with pytest.raises(GroupsError, match=text):
        ClassGroups.by_frequency(counts, **parts)
