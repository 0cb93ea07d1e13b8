"""Settings with their sources: changing them, reading them from the command line, and what is refused."""

import pytest

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import DUAL_PHASE
from gradlens.longtail.recipe.settings import Setting, Settings, parse_assignments
from gradlens.longtail.tasks.digits import digits_task

SETTINGS = Settings(
    {
        "rate": Setting(0.1, "paper"),
        "memory": Setting(10, "Figure 2"),
        "head": Setting(None, "rule", int),
        "weight": Setting(None, "rule", float),
        "at": Setting((0.8, 0.9), "paper"),
    }
)


def test_a_change_has_another_source_and_leaves_the_rest():
    changed = SETTINGS.changed({"rate": 1, "head": 3})
    assert changed["rate"] == 1.0
    assert isinstance(changed["rate"], float)
    assert changed.source("rate") == "command line"
    assert changed.source("memory") == "Figure 2"
    assert SETTINGS["rate"] == 0.1
    assert changed.to_json()["head"] == {"value": 3, "source": "command line"}
    again = changed.changed({"head": None, "weight": 2, "at": [1, 0.5]})
    assert (again["head"], again["weight"], again["at"]) == (None, 2.0, (1, 0.5))
    assert isinstance(again["weight"], float)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"memroy": 3}, "no setting 'memroy'; did you mean 'memory'"),
        ({"memory": 2.5}, "memory=2.5; needed is a value like 10"),
        ({"memory": True}, "memory=True"),
        ({"rate": "fast"}, "rate='fast'"),
        ({"rate": None}, r"rate=None; needed is a value like 0.1 \(float\)"),
        ({"head": 2.5}, r"head=2.5; needed is a value \(int or null\)"),
        ({"head": "many"}, "head='many'"),
        ({"head": True}, "head=True"),
        ({"weight": "big"}, r"weight='big'; needed is a value \(float or null\)"),
        ({"at": [0.5, "late"]}, r"at=\[0.5, 'late'\]; needed is a value like \[0.8, 0.9\] \(list of numbers\)"),
        ({"at": 0.5}, "at=0.5"),
    ],
)
def test_a_wrong_change_is_named(change, says):
    with pytest.raises(LongTailError, match=says):
        SETTINGS.changed(change)


def test_assignments_are_read_as_json_or_text():
    texts = ["tau=1", "imprint=false", "selection=herding", "steps_at=[0.5, 0.75]", "head_classes=null"]
    assert parse_assignments(texts) == {
        "tau": 1, "imprint": False, "selection": "herding", "steps_at": [0.5, 0.75], "head_classes": None,
    }  # fmt: skip
    with pytest.raises(LongTailError, match="write NAME=VALUE"):
        parse_assignments(["tau"])


def test_lambda_is_computed_and_recorded():
    task = digits_task()
    recipe = DUAL_PHASE.on(task)
    assert recipe.settings["retention_weight"] == pytest.approx((5 / 5) ** 0.5)
    assert DUAL_PHASE.on(task, {"head_classes": 8}).settings["retention_weight"] == pytest.approx((8 / 2) ** 0.5)
    assert "sqrt(C1 / C2)" in recipe.settings.source("retention_weight")


def test_what_is_switched_off_is_absent():
    task = digits_task()
    assert DUAL_PHASE.on(task).components == ("classification", "intra", "retention")
    assert DUAL_PHASE.on(task, {"intra": False, "retention_weight": 0.0}).components == ("classification",)


def test_no_tail_means_no_two_phases():
    with pytest.raises(LongTailError, match="C1 = 10 of 10"):
        DUAL_PHASE.on(digits_task(imbalance=2))
