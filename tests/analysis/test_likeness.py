"""Whether two runs are of the same kind."""

import pytest

from gradlens.analysis.likeness import unlike
from gradlens.groups import ClassGroups
from tests.analysis.kinds import EVEN, renamed, run


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
    assert unlike(run(tmp_path, "one", EVEN, layers=2), renamed(tmp_path / "two", layers=2)) == [
        "layers of the network"
    ]
