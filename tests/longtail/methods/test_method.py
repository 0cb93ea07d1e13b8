"""A method on a task: which settings win, and where they come from."""

import dataclasses

import pytest

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import find_method
from gradlens.longtail.methods.method import Method
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings
from gradlens.longtail.tasks.digits import digits_task
from tests.longtail.tiny_training import tiny_task


@pytest.fixture
def task():
    return dataclasses.replace(
        tiny_task(), settings=Settings({"batch": Setting(4, "data"), "epochs": Setting(2, "data")})
    )


METHOD = Method(
    "tiny", "for tests", {"epochs": Setting(3, "method"), "scale": Setting(1.5, "method")},
    lambda task, settings: Recipe("tiny", (), lambda: None, settings),
    presets={"small": {"batch": Setting(2, "its paper"), "scale": Setting(0.5, "its code")}},
)  # fmt: skip


def test_a_change_goes_before_the_method_and_the_method_before_the_data(task):
    found = METHOD.on(task, {"scale": 2.5}, "test").settings
    assert {name: (found[name], found.source(name)) for name in found} == {
        "batch": (4, "data"),
        "epochs": (3, "method"),
        "scale": (2.5, "test"),
    }
    assert METHOD.on(task).settings["scale"] == 1.5
    assert METHOD.on(task, {"epochs": 1}).settings.source("epochs") == "command line"


def test_an_augmentation_reaches_every_phase_that_names_none():
    digits = digits_task()
    plain, turned = (find_method("dual-phase").on(digits, change) for change in ({}, {"augmentation": "rotation"}))
    assert [phase.views for phase in plain.phases] == [("standard",)] * 2
    assert [phase.views for phase in turned.phases] == [("rotation",)] * 2
    assert turned.settings.to_json()["augmentation"] == {"value": "rotation", "source": "command line"}
    named = find_method("paco").on(digits, {"second_view": "colours"})
    assert named.phases[0].views == ("standard", "colours")


def test_a_setting_that_nobody_knows_is_refused(task):
    with pytest.raises(LongTailError, match="temperature"):
        METHOD.on(task, {"temperature": 1.0})


def test_a_preset_goes_before_data_and_method_and_a_change_before_it(task):
    found = METHOD.on(task, {"scale": 2.5}, "test", preset="small").settings
    assert {name: (found[name], found.source(name)) for name in found} == {
        "batch": (2, "its paper"),
        "epochs": (3, "method"),
        "scale": (2.5, "test"),
    }
    with pytest.raises(LongTailError, match="no preset 'smal'; did you mean 'small'"):
        METHOD.on(task, preset="smal")
    with pytest.raises(LongTailError, match="no preset 'small'; it has none"):
        dataclasses.replace(METHOD, presets={}).on(task, preset="small")
