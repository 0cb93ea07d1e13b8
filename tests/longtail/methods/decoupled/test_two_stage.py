"""Stage 2 on the best epoch of stage 1: which epoch it is, that it is said, and resuming."""

import dataclasses
import json

import pytest
import torch

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import CE, METHODS, find_method
from gradlens.longtail.methods.decoupled.two_stage import classifier_sgd
from gradlens.longtail.recipe.optimization import Sgd
from gradlens.longtail.tasks.photos import PLACES_SETTINGS
from gradlens.longtail.training.branching import branch_point
from gradlens.longtail.training.checkpoint import FILE, CheckpointError
from gradlens.longtail.training.fit import fit
from gradlens.longtail.training.training_run import RESULT, run_training
from gradlens.longtail.training.watcher import Unwatched
from gradlens.longtail.training.watching import Watching
from gradlens.runlog import Run
from tests.longtail.same_state import assert_same

# From epoch 4 of 6 on the learning rate is 40 times as high. That spoils the network, so that the best epoch is not the last.
SPOILT = {"epochs": 6, "schedule": "steps", "steps_at": [0.66], "steps_by": 40.0}
FROM_BEST = SPOILT | {"stage_2_from": "best"}


class Stopped(Exception):
    """Ends a training in the middle."""


class States(Unwatched):
    """Notes the network after each epoch."""

    def __init__(self):
        self.of_epoch = []

    def end_epoch(self, row, learner):
        self.of_epoch.append({name: value.clone() for name, value in learner.model.state_dict().items()})


@pytest.fixture(scope="module")
def alone(task):
    """Returns the history of stage 1 and the network after each of its epochs, from a training with cross-entropy."""
    states = States()
    history = fit(CE.on(task, SPOILT), task, watcher=states).history
    accuracies = [row["overall"] for row in history]
    best = accuracies.index(max(accuracies))
    assert 0 < best < 5
    return history, states.of_epoch, best


@pytest.mark.parametrize("start", ["last", "best"])
def test_stage_2_begins_with_the_epoch_that_is_told(task, alone, start):
    history, states, best = alone
    fitted = fit(find_method("lws").on(task, SPOILT | {"stage_2_from": start, "moving_statistics": False}), task)
    after = fitted.learner.model.state_dict()
    expected = states[best if start == "best" else -1]
    for name, value in expected.items():
        assert torch.equal(after[name.replace("classifier", "classifier.inner")], value), name
    shown = [{key: value for key, value in row.items() if key not in ("seconds", "chosen")} for row in fitted.history]
    assert shown[:6] == [{key: value for key, value in row.items() if key != "seconds"} for row in history]


def test_run_and_result_say_which_epoch_it_was_and_what_chose_it(task, alone, tmp_path):
    recipe = find_method("tau-norm").on(task, FROM_BEST | {"taus": [0.0, 1.0]})
    run_training(recipe, task, tmp_path / "run", watching=Watching(every=10, probe_every=0))
    first, second = json.loads((tmp_path / "run" / RESULT).read_text())["chosen"]
    fact = {"setting": "kept_epoch", "value": alone[2] + 1, "split": "test", "only_split": True}
    assert first == {"phase": "all classes", **fact}
    assert second["setting"] == "tau"
    told = [event["chosen"] for event in Run(tmp_path / "run").events if event["kind"] == "epoch" and "chosen" in event]
    assert told == [fact]


def test_the_choice_is_among_evaluated_epochs_and_on_the_first_split(task, alone):
    history = alone[0]
    few = dataclasses.replace(task, evaluations={"validation": task.train, **task.evaluations})
    fitted = fit(find_method("ncm").on(few, FROM_BEST), few, evaluate_every=4)
    chosen = fitted.history[5]["chosen"]
    assert (chosen["split"], chosen["only_split"]) == ("validation", False)
    on_train = [row.get("overall", -1) for row in fitted.history[:6]]
    assert [accuracy >= 0 for accuracy in on_train] == [False, False, False, True, False, True]
    assert chosen["value"] == 1 + on_train.index(max(on_train))
    assert on_train[3] != history[3]["overall"]


@pytest.mark.parametrize("stop", [5, 7])
def test_cut_short_in_either_stage_it_ends_bit_identical(task, tmp_path, stop):
    def until(row):
        if row["epoch"] == stop:
            raise Stopped

    recipe = find_method("crt").on(task, FROM_BEST | {"epochs_2": 2})
    fit(recipe, task, folder=tmp_path / "whole")
    with pytest.raises(Stopped):
        fit(recipe, task, folder=tmp_path / "cut", on_epoch=until)
    fit(recipe, task, folder=tmp_path / "cut", resume=True)
    assert_same(*(torch.load(tmp_path / name / FILE, weights_only=True) for name in ("cut", "whole")))


def test_the_classifier_keeps_its_own_learning_rate_unless_stage_2_has_one():
    """On Places-LT the trunk has 5e-4 and the classifier 0.05."""
    settings = PLACES_SETTINGS.plus(find_method("crt").settings)
    assert classifier_sgd(settings) == Sgd(0.05, 0.9, 5e-4)
    own = settings.changed({"learning_rate_2": 0.1, "weight_decay_2": 1e-4, "nesterov": True})
    assert classifier_sgd(own) == Sgd(0.1, 0.9, 1e-4, nesterov=True)
    for changes in ({"learning_rate_2": 0.0}, {"weight_decay_2": -1.0}):
        with pytest.raises(LongTailError, match=f"{next(iter(changes))}="):
            classifier_sgd(settings.changed(changes))
    with pytest.raises(LongTailError, match="nesterov=true with momentum=0"):
        classifier_sgd(settings.changed({"nesterov": True, "momentum": 0.0}))


def test_it_cannot_branch_off_a_training_that_kept_no_best_epoch(task, tmp_path):
    fit(CE.on(task, {"epochs": 1}), task, folder=tmp_path)
    with pytest.raises(CheckpointError, match="keep best of phase 'all classes'"):
        branch_point(tmp_path, find_method("ncm").on(task, {"epochs": 1, "stage_2_from": "best"}), task)


def test_another_epoch_is_refused_by_every_method_with_two_stages(task):
    two_stage = [method for method in METHODS.values() if "stage_2_from" in method.settings]
    assert {"ncm", "crt", "lws", "tau-norm", "mislas", "gcl"} <= {method.name for method in two_stage}
    for method in two_stage:
        with pytest.raises(LongTailError, match="stage_2_from='first'; choose the 'last' or the 'best'"):
            method.on(task, {"stage_2_from": "first"})
        first, second = method.on(task, {"stage_2_from": "best"}).phases
        assert (first.keep_best, second.keep_best) == (True, False)
