"""A method ready to run: what it has in common with a checkpoint."""

import dataclasses
from pathlib import Path

import pytest

from gradlens.longtail.methods import find_method
from gradlens.longtail.recipe.optimization import CosineDecay, Sgd
from gradlens.longtail.recipe.phases import TrainingPhase
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings
from gradlens.longtail.recipe.tuning import Tuning
from gradlens.longtail.recipe.visiting import shuffled
from gradlens.longtail.training.checkpoint import CheckpointError, require_same


def loss(step):
    return step


ONE = TrainingPhase("I", 3, {"ce": loss, "intra": loss}, batch=4)
TWO = TrainingPhase("II", 2, {"kd": loss, "ce": loss}, batch=8)
RECIPE = Recipe("dual", (ONE, TWO), lambda: None, Settings({"steps_at": Setting((0.8, 0.9), "test")}))


def test_epochs_and_components_of_all_phases():
    assert RECIPE.epochs == 5
    assert RECIPE.components == ("ce", "intra", "kd")


def test_its_identity_changes_with_whatever_changes_the_training():
    mine = RECIPE.identity()
    assert (mine["method"], mine["phases"], mine["steps_at"]) == ("dual", "I:3 II:2", [0.8, 0.9])
    changes = ({"epochs": 4}, {"batch": 5}, {"sgd": Sgd(0.3)}, {"schedule": CosineDecay(1)}, {"trainable": ("stem",)})
    changes += ({"sgd": Sgd(nesterov=True)}, {"sgd": Sgd(decays={"classifier": 0.0})}, {"moving": ("",)})
    changes += ({"partner": shuffled}, {"views": ("standard", "standard")}, {"drop_last": True})
    changes += ({"keep_best": True}, {"epochs": 0, "tuning": Tuning("tau", (1.0,), print)})
    for change in changes:
        other = dataclasses.replace(RECIPE, phases=(ONE, dataclasses.replace(TWO, **change)))
        assert other.identity() != mine, change
    assert dataclasses.replace(RECIPE, network=lambda: 1).identity() == mine  # made anew each time


def test_the_identity_of_a_phase_is_that_of_older_trainings():
    assert ONE.identity() == {
        "optimizer": "Sgd(learning_rate=0.1, momentum=0.9, weight_decay=0.0005, parts={})",
        "schedule": "Steps(at=(0.8, 0.9), by=0.01, warm_up=0)",
        "batch": 4,
        "trainable": [""],
        "losses": ["ce", "intra"],
    }


def test_a_setting_that_came_later_shows_where_it_differs_from_older_trainings():
    def identity(value):
        settings = RECIPE.settings.plus({"augmentation": Setting(value, "test")})
        return dataclasses.replace(RECIPE, settings=settings).identity()

    assert identity("standard") == RECIPE.identity()
    assert identity("rotation")["augmentation"] == "rotation"


@pytest.mark.parametrize(
    ("method", "name", "other"),
    [
        ("crt", "stage_2_from", "best"),
        ("mislas", "stage_2_from", "best"),
        ("cb-focal", "bias_decay", 0.0),
        ("ce", "nesterov", True),
        ("mixup", "trained_parts", "classifier"),
        ("crt", "moving_parts", "top"),
        ("oltr", "trained_parts_2", "classifier"),
        ("sade", "shared_learning_rate", 0.1),
    ],
)
def test_methods_whose_settings_came_later_keep_their_identity(task, method, name, other):
    assert name not in find_method(method).on(task).identity()
    assert find_method(method).on(task, {name: other}).identity()[name] == other


def test_a_checkpoint_that_holds_a_later_setting_goes_on(task):
    """cRT had nesterov from the beginning, so its checkpoints hold it."""
    here = find_method("crt").on(task).identity()
    require_same(Path("a"), here | {"nesterov": False}, here)
    with pytest.raises(CheckpointError, match="nesterov: True there, absent here"):
        require_same(Path("a"), here | {"nesterov": True}, here)


def test_steps_of_an_epoch():
    assert [ONE.steps(n) for n in (0, 3, 4, 9)] == [0, 1, 1, 3]
    assert [dataclasses.replace(ONE, drop_last=True).steps(n) for n in (0, 3, 4, 9)] == [0, 0, 1, 2]


def test_two_phases_of_one_name_are_told_apart():
    again = dataclasses.replace(TWO, name="I")
    found = dataclasses.replace(RECIPE, phases=(ONE, again)).identity()
    assert (found["batch of phase 1 (I)"], found["batch of phase 2 (I)"]) == (4, 8)
