"""When the classes are measured one by one."""

import pytest

from gradlens.longtail.training.watching import Watching


@pytest.mark.parametrize(
    ("every", "epochs", "due"),
    [
        (None, 3, [3]),
        (None, 10, [10]),
        (None, 24, [10, 20, 24]),
        (None, 50, [10, 20, 30, 40, 50]),
        (None, 200, [40, 80, 120, 160, 200]),
        (2, 5, [2, 4, 5]),
        (100, 5, [5]),
        (1, 3, [1, 2, 3]),
        (0, 3, []),
    ],
)
def test_probes_of_a_phase(every, epochs, due):
    watching = Watching(probe_every=every)
    assert [done for done in range(1, epochs + 1) if watching.probe_is_due(done, epochs)] == due


def test_each_phase_is_measured_about_as_often():
    watching = Watching(per_phase=100)
    assert [watching.every_in(steps) for steps in (1000, 250, 100, 30)] == [10, 2, 1, 1]
    assert (Watching().every_in(1000), Watching(every=7).every_in(1000)) == (None, 7)
