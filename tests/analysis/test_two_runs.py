"""How two runs are put side by side: common groups, and steps in pairs."""

import numpy as np
import pytest

from gradlens.analysis.figure1_claims import figure1_claims
from gradlens.analysis.two_runs import (
    PairError,
    common_groups,
    common_rows,
    head_and_tail,
    long_tailed_first,
    paired_text,
    run_difference,
    sample_shares,
)
from gradlens.estimation.intervals import difference, paired_difference
from gradlens.groups import ClassGroups
from tests.analysis.plane_runs import write
from tests.made_runs import make_run


def test_groups_must_be_shared(tmp_path):
    a = make_run(tmp_path / "a", steps=2)
    b = make_run(tmp_path / "b", steps=2, groups=ClassGroups({"head": range(60), "tail": range(60, 100)}, 100))
    c = make_run(tmp_path / "c", steps=2, groups=ClassGroups({"head": range(70), "few": range(70, 100)}, 100))
    with pytest.raises(PairError, match=r"no group.*a has .*70-99.*b has .*60-99.*--groups-from"):
        figure1_claims(a, b)
    assert common_groups(a, c) == ("head",)
    with pytest.raises(PairError, match="two groups"):
        figure1_claims(a, c)
    with pytest.raises(PairError, match="'nose'"):
        figure1_claims(a, a, head="nose")
    shots = ClassGroups({"many": range(3), "medium": range(3, 6), "few": range(6, 10)}, 10)
    d = make_run(tmp_path / "d", steps=2, groups=shots)
    assert head_and_tail(d, d) == ("many", "few")
    assert head_and_tail(d, d, tail="medium") == ("many", "medium")


def test_which_run_is_the_long_tailed_one(tmp_path):
    long_tailed = write(tmp_path / "lt", [1.0] * 3, [1.0] * 3, counts=(62, 2))
    balanced = write(tmp_path / "b", [1.0] * 3, [1.0] * 3, counts=(45, 19))
    assert long_tailed_first(balanced, long_tailed) == (long_tailed, balanced)
    assert long_tailed_first(long_tailed, balanced) == (long_tailed, balanced)
    assert sample_shares(long_tailed)["tail"] == pytest.approx(2 / 64)


def test_runs_of_one_cadence_are_compared_step_by_step(tmp_path):
    runs = [
        make_run(tmp_path / str(i), steps=n, every=e, seed=i) for i, (n, e) in enumerate(((40, 10), (50, 10), (50, 7)))
    ]
    left, right = common_rows(runs[0], runs[1])
    np.testing.assert_array_equal(runs[0].steps[left], runs[1].steps[right])
    assert len(left) == 40
    assert common_rows(runs[0], runs[2]) is None
    x, y = runs[0].norm("all"), runs[2].norm("all")
    assert run_difference(runs[0], runs[2], x, y) == difference(x, y)
    assert "over the 40 steps that both runs measured" in paired_text(runs[0], runs[1])
    assert paired_text(runs[0], runs[2]) == ""
    assert run_difference(runs[0], runs[1], x, runs[1].norm("all")) == paired_difference(x, runs[1].norm("all")[:40])
