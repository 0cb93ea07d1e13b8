"""Settings that were given and do nothing are refused, with the setting that they need and the way out."""

import re

import pytest

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import find_method


@pytest.mark.parametrize(
    ("method", "given", "needs"),
    [
        (
            "ce",
            {"steps_at": [0.5]},
            "steps_at=(0.5,) has no effect with schedule='cosine'; leave it out, or set schedule=steps",
        ),
        ("ce", {"steps_by": 0.5}, "steps_by=0.5 has no effect with schedule='cosine'"),
        (
            "crt",
            {"steps_at_2": [0.5]},
            "steps_at_2=(0.5,) has no effect with schedule_2='cosine'; leave it out, or set sch",
        ),
        (
            "ce",
            {"scale": 5.0},
            "scale=5.0 has no effect with classifier='linear'; leave it out, or set classifier=cosine",
        ),
        (
            "tau-norm",
            {"tau": 1.0, "taus": [0.5]},
            "taus=(0.5,) has no effect with tau=1.0; leave it out, or set tau=null",
        ),
        ("bbn", {"warm_up_first": 0.5}, "warm_up_first=0.5 has no effect with warm_up=0"),
        ("balanced-softmax", {"warm_up_from": 0.5}, "has no effect with schedule='cosine'"),
    ],
)
def test_a_given_setting_without_effect_is_refused(task, method, given, needs):
    with pytest.raises(LongTailError, match=re.escape(needs)):
        find_method(method).on(task, given)


@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("ce", {"steps_at": [0.5], "schedule": "steps"}),
        ("crt", {"steps_at_2": [0.5], "schedule_2": "steps"}),
        ("ce", {"scale": 5.0, "classifier": "cosine"}),
        ("plain", {"scale": 5.0}),
        ("ldam", {"scale": 20.0}),
        ("tau-norm", {"taus": [0.5]}),
        ("bbn", {"warm_up_first": 0.5, "warm_up": 2}),
    ],
)
def test_with_the_other_setting_it_has_one(task, method, given):
    settings = find_method(method).on(task, given).settings
    assert {name: settings[name] for name in given} == {
        name: tuple(value) if isinstance(value, list) else value for name, value in given.items()
    }


def test_a_preset_and_an_older_training_may_hold_such_settings(task):
    find_method("ce").on(task, {"steps_at": [0.5]}, source="a checkpoint")
    find_method("crt").on(task, preset="imagenet-lt")
