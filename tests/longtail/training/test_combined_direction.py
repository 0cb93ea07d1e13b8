"""The groups' shares of the direction that is combined from their gradients, and its distortion."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest

from gradlens.commands.train_result import distortion_lines
from gradlens.longtail.methods import CE, find_method
from gradlens.longtail.recipe.combiner import Combiner
from gradlens.longtail.training.combined_direction import combined_distortion, combined_shares
from gradlens.longtail.training.training_run import run_training
from gradlens.longtail.training.watching import Watching
from gradlens.runlog import Run

EVERY = Watching(every=1, probe_every=0)


@dataclass(frozen=True)
class Given:
    """Weights by group."""

    values: tuple[float, ...]

    def __call__(self, gram, now):
        return np.array([self.values[k] for k in now.present])


def test_shares_by_hand():
    """Layer 1 has g = (1, 0), h = (1, 2) with the weights 2 and 1: 2 g + h = (3, 2). Layer 2 has g = 3, h = 0 with 1 and 5."""
    grams = [np.array([[1.0, 1.0], [1.0, 5.0]]), np.array([[9.0, 0.0], [0.0, 0.0]])]
    weights = [np.array([2.0, 1.0]), np.array([1.0, 5.0])]
    # <2 g, u> = 6 and <h, u> = 7 of 13 in layer 1; 9 and 0 in layer 2
    assert combined_shares(grams, weights, ["head", "tail"]) == pytest.approx({"head": 15 / 22, "tail": 7 / 22})


@pytest.mark.parametrize("weights", [[0.0, 0.0], [np.nan, 1.0]])
def test_no_direction_has_no_shares(weights):
    assert combined_shares([np.eye(2)], [np.array(weights)], ["head", "tail"]) == {}


def test_recorded_shares_are_those_of_the_gradients_that_the_lens_measured(tmp_path, task):
    weights = (0.5, 4.0)
    recipe = CE.on(task, {"epochs": 2, "batch": 64})
    combine = Combiner(task.groups(), Given(weights))
    recipe = dataclasses.replace(recipe, phases=(dataclasses.replace(recipe.phases[0], combine=combine),))
    run_training(recipe, task, tmp_path / "run", watching=EVERY)
    run = Run(tmp_path / "run")
    events = [event for event in run.events if event["kind"] == "combined"]
    assert [event["step"] for event in events] == np.asarray(run.steps).tolist()
    grams = np.nan_to_num(run.gram()[:, :2, :2]) * np.outer(weights, weights)
    expected = grams.sum(2) / grams.sum((1, 2))[:, None]
    found = np.array([[event["shares"].get(name, 0.0) for name in run.groups.names] for event in events])
    np.testing.assert_allclose(found, expected, atol=1e-4)
    # With two groups the distortion is the distance of one mean share from its fraction of the classes.
    distortion = combined_distortion(run)
    assert distortion.value == pytest.approx(abs(expected[:, 0].mean() - run.groups.fractions()[0]), abs=1e-4)
    assert combined_distortion(run, start=10_000) is None


def test_both_distortions_are_printed_and_told_apart(tmp_path, task):
    recipe = find_method("pcgrad").on(task, {"epochs": 1, "batch": 64, "vectors": "means"})
    before, after = distortion_lines(run_training(recipe, task, tmp_path / "run", watching=EVERY).folder)
    assert before.startswith("distortion of the gradient before it is combined (0 = none): ")
    assert after.startswith("distortion of the combined direction, which is stepped on: ")
