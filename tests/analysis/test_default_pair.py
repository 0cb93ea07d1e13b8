"""Which runs of a folder stand beside each other at first, and when they are of different kinds."""

from gradlens.analysis.default_pair import default_baseline, default_pair, long_tailed_and_balanced
from tests.analysis.kinds import EVEN, TAILED, renamed, run


def test_the_pair_is_of_one_data_set_although_others_differ_more(tmp_path):
    runs = [
        run(tmp_path, "photos", (1.0, 0.01), "photos-lt"),
        run(tmp_path, "digits-even", EVEN, "digits-balanced"),
        run(tmp_path, "digits-lt", TAILED, "digits"),
    ]
    pair = default_pair(runs)
    assert pair is not None
    assert [r.name for r in pair] == ["digits-lt", "digits-even"]
    assert long_tailed_and_balanced(*pair)


def test_the_pair_is_of_one_network(tmp_path):
    runs = [
        renamed(tmp_path / "deep", layers=3),
        run(tmp_path, "even", EVEN, layers=2),
        run(tmp_path, "lt", TAILED, layers=2),
    ]
    pair = default_pair(runs)
    assert pair is not None
    assert [r.name for r in pair] == ["lt", "even"]


def test_two_runs_of_equal_balance_are_not_called_long_tailed_and_balanced(tmp_path):
    pair = default_pair([run(tmp_path, "a", EVEN), run(tmp_path, "b", EVEN, seed=1)])
    assert pair is not None
    assert not long_tailed_and_balanced(*pair)
    pair = default_pair([run(tmp_path, "c", EVEN, "digits"), run(tmp_path, "d", TAILED, "photos")])
    assert pair is not None
    assert not long_tailed_and_balanced(*pair)  # which data set it is, is another difference


def test_a_baseline_is_of_the_same_kind(tmp_path):
    method = run(tmp_path, "dual", TAILED, "digits", layers=2)
    others = [
        run(tmp_path, "far", (1.0, 0.01), "photos", layers=2),
        run(tmp_path, "even", EVEN, "digits-balanced", layers=2),
        run(tmp_path, "same", TAILED, "digits", layers=2),
        renamed(tmp_path / "deep", layers=3, dataset="digits"),
    ]
    found = default_baseline(method, others)
    assert found is not None
    assert found.name == "same"
