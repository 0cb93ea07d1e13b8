"""Groups of classes as tasks: which groups there are, and what is refused."""

from types import SimpleNamespace

import numpy as np
import pytest

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import find_method
from gradlens.longtail.methods.by_group.group_tasks import class_groups, reduces_to_mean
from gradlens.longtail.tasks.digits import digits_task
from tests.longtail.tiny_training import tiny_task

NAMES = ("pcgrad", "cagrad", "gradvac")


def test_the_groups_of_each_kind(task):
    kinds = {kind: class_groups("pcgrad", task, {"groups": kind}) for kind in ("head-tail", "shots", "classes")}
    assert kinds["head-tail"].names == ("head", "tail")
    assert kinds["head-tail"].classes == ((0, 1, 2, 3, 4), (5, 6, 7, 8, 9))
    assert kinds["shots"].names == ("many", "medium", "few")
    assert len(kinds["classes"]) == 10


@pytest.mark.parametrize("name", NAMES)
def test_the_phase_has_the_groups_of_its_settings(task, name):
    combine = find_method(name).on(task, {"groups": "classes", "vectors": "means"}).phases[0].combine
    assert (len(combine.groups), combine.means) == (10, True)
    combine = find_method(name).on(task).phases[0].combine
    assert (combine.groups.names, combine.means) == (("head", "tail"), False)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"groups": "thirds"}, "groups='thirds'; choose one of head-tail, shots, classes"),
        ({"vectors": "sums"}, "vectors='sums'; choose one of contributions, means"),
        ({"reduction": "max"}, "reduction='max'; choose one of sum, mean"),
    ],
)
def test_unknown_settings_are_refused(task, name, changes, says):
    with pytest.raises(LongTailError, match=says):
        find_method(name).on(task, changes)


def test_one_group_and_one_class_are_refused():
    even = SimpleNamespace(counts=np.array([50, 50]), num_classes=2, name="even")
    with pytest.raises(LongTailError, match="one group on even \\(medium\\)"):
        class_groups("pcgrad", even, {"groups": "shots"})
    single = tiny_task((6,))
    for name in NAMES:
        method = find_method(name)
        with pytest.raises(LongTailError, match="at least two classes"):
            method.recipe(single, digits_task().settings.plus(method.settings))


def test_reductions():
    assert [reduces_to_mean({"reduction": kind}) for kind in ("sum", "mean")] == [False, True]
