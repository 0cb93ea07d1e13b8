"""Which runs of a folder stand beside each other at first, and when they are of different kinds."""

import pytest

from gradlens.analysis.default_pair import default_baseline, default_pair, long_tailed_and_balanced
from gradlens.analysis.likeness import unlike
from gradlens.groups import ClassGroups
from tests.made_runs import make_run

EVEN, TAILED = (1.0, 1.0), (1.0, 0.1)


def run(folder, name, weights, dataset=None, seed=0, **more):
    """Returns a run whose batches hold the groups in proportion to classes times weights."""
    return make_run(folder / name, steps=40, weights=weights, seed=seed, meta={"dataset": dataset}, **more)


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
        _renamed(tmp_path / "deep", layers=3),
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
        _renamed(tmp_path / "deep", layers=3, dataset="digits"),
    ]
    found = default_baseline(method, others)
    assert found is not None
    assert found.name == "same"


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ({"dataset": "cifar100"}, {"dataset": "cifar100-lt"}, []),
        ({"dataset": "digits-balanced"}, {"dataset": "digits"}, []),
        ({"dataset": "digits"}, {"dataset": None}, []),
        ({"dataset": "digits"}, {"dataset": "photos"}, ["data set (digits, photos)"]),
        ({"layers": 2}, {"layers": 0}, []),
        ({"layers": 2}, {"layers": 3}, []),  # the same names and one more
        ({"groups": ClassGroups({"a": [0], "b": [1]}, 2)}, {}, ["number of classes (2, 100)"]),
    ],
)
def test_what_two_runs_differ_in(tmp_path, one, other, said):
    pair = [run(tmp_path, name, EVEN, **facts) for name, facts in (("one", one), ("other", other))]
    assert unlike(*pair) == said
    assert len(unlike(*reversed(pair))) == len(said)


def test_networks_with_other_layers_differ(tmp_path):
    assert unlike(run(tmp_path, "one", EVEN, layers=2), _renamed(tmp_path / "two", layers=2)) == [
        "layers of the network"
    ]


def _renamed(path, layers, dataset=None):
    """Returns a very long-tailed run of a network whose layers have other names."""
    names = tuple(f"stage.{i}" for i in range(layers))
    meta = {"layer_names": names, "dataset": dataset}
    return make_run(path, steps=40, weights=(1.0, 0.01), layers=layers, meta=meta)
