"""Settings with their sources: changing them, reading them from the command line, and what is refused."""

import json
import re

import pytest

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import CE, DUAL_PHASE, METHODS, PLAIN, PLAIN_2T, find_method
from gradlens.longtail.recipe.settings import Setting, Settings, parse_assignments
from gradlens.longtail.tasks.digits import digits_task
from gradlens.longtail.tasks.photos import FOLDER_SETTINGS, IMAGENET_SETTINGS

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


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_every_setting_of_every_method_has_a_source(method):
    described = method.on(digits_task()).settings.to_json()
    assert {"epochs", "batch", "learning_rate", "momentum", "weight_decay"} <= set(described)
    known = (
        r"paper, (Section|Algorithm|Equation|Figure|Appendix) ?|gradlens: |.* et al\. \d{4}|sqrt\(C1 / C2\), Appendix A"
    )
    assert [name for name, entry in described.items() if not re.match(known, entry["source"])] == []
    assert json.loads(json.dumps(described)) == described


def test_borrowed_settings_keep_their_source():
    assert dict(FOLDER_SETTINGS) == dict(IMAGENET_SETTINGS)
    for name in FOLDER_SETTINGS:
        assert FOLDER_SETTINGS.source(name) == f"{IMAGENET_SETTINGS.source(name)}; as for ImageNet-LT"
    assert "the paper does not say" in FOLDER_SETTINGS.source("epochs")
    assert "inferred" in FOLDER_SETTINGS.source("batch")


def test_lambda_is_computed_and_recorded():
    task = digits_task()
    recipe = DUAL_PHASE.on(task)
    assert recipe.settings["retention_weight"] == pytest.approx((5 / 5) ** 0.5)
    assert DUAL_PHASE.on(task, {"head_classes": 8}).settings["retention_weight"] == pytest.approx((8 / 2) ** 0.5)
    assert "sqrt(C1 / C2)" in recipe.settings.source("retention_weight")


def test_equal_compute_doubles_the_epochs():
    task = digits_task()
    assert PLAIN_2T.on(task, {"epochs": 7}).epochs == 14
    assert PLAIN.on(task, {"epochs": 7}).epochs == 7
    assert DUAL_PHASE.on(task, {"epochs": 7}).epochs == 14
    assert DUAL_PHASE.on(task, {"epochs": 7, "epochs_2": 2}).epochs == 9


def test_what_is_switched_off_is_absent():
    task = digits_task()
    assert DUAL_PHASE.on(task).components == ("classification", "intra", "retention")
    assert DUAL_PHASE.on(task, {"intra": False, "retention_weight": 0.0}).components == ("classification",)


@pytest.mark.parametrize(
    ("method", "change", "says"),
    [
        (DUAL_PHASE, {"head_classes": 0}, "head_classes=0 of 10"),
        (DUAL_PHASE, {"head_classes": 10}, "give 1..9"),
        (DUAL_PHASE, {"memory": 0}, "memory=0"),
        (DUAL_PHASE, {"selection": "best"}, "selection='best'"),
        (DUAL_PHASE, {"retention_weight": -1.0}, "retention_weight=-1.0"),
        (DUAL_PHASE, {"sampler_2": "odd"}, "sampler 'odd'"),
        (CE, {"classifier": "svm"}, "classifier='svm'"),
        (CE, {"epochs": 0}, "epochs=0"),
        (CE, {"learning_rate": 0.0}, "learning rate 0.0"),
        (CE, {"schedule": "wavy"}, "schedule='wavy'"),
    ],
)
def test_values_that_cannot_work_are_refused_before_training(method, change, says):
    with pytest.raises(LongTailError, match=says):
        method.on(digits_task(), change)


def test_no_tail_means_no_two_phases():
    with pytest.raises(LongTailError, match="C1 = 10 of 10"):
        DUAL_PHASE.on(digits_task(imbalance=2))


def test_an_unknown_method_is_answered_with_the_list():
    with pytest.raises(LongTailError, match="dual-phase"):
        find_method("dualphase")
