"""The methods that work on features: they resume bit-identical, the lens measures them, and two processes do what one does."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest
import torch

from gradlens import Run
from gradlens.longtail.methods import find_method
from gradlens.longtail.training.branching import branch_point
from gradlens.longtail.training.checkpoint import FILE
from gradlens.longtail.training.fit import fit
from gradlens.longtail.training.training_run import run_training
from gradlens.longtail.training.watching import Watching
from tests.distributed.processes import together
from tests.longtail.cut_training import resumed_is_whole
from tests.longtail.same_state import assert_same
from tests.longtail.shared_batches import shared_task

METHODS = {
    "lifted": {},
    "range": {},
    "fslwf": {},
    # The repulsion is above 0, and the centroids have a notable part of the gradient.
    "oltr": {"centroid_weight": 1.0, "centroid_repulsion": 0.1, "centroid_margin": 1000.0},
    "fsa": {},
}
# Of the small task of two processes. In its batches of fsa only the first process fuses, whose random numbers are those of one.
OPTIONS = {"lifted": {}, "range": {}, "fslwf": {"exemplars": 3, "queries": 3}, "oltr": {}, "fsa": {}}


@pytest.mark.parametrize("method", METHODS)
def test_a_cut_training_resumes_bit_identical(task, tmp_path, method):
    recipe = find_method(method).on(task, {"epochs": 2, **METHODS[method]})
    resumed_is_whole(recipe, task, tmp_path, *range(1, recipe.epochs))


@pytest.mark.parametrize("method", METHODS)
def test_the_lens_measures_it_without_a_warning_and_changes_nothing(task, tmp_path, method):
    recipe = find_method(method).on(task, {"epochs": 1, **METHODS[method]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ResourceWarning)
        run_training(recipe, task, tmp_path, watching=Watching(every=1, update=True))
    plain = fit(recipe, task)
    watched = torch.load(tmp_path / FILE, weights_only=True)
    assert_same(watched["model"], plain.learner.model.state_dict())
    run = Run(tmp_path)
    assert len(run.steps) == plain.steps
    assert not {"left-out", "nonfinite", "warning", "stepped scale"} & {event["kind"] for event in run.events}
    assert np.nanmax(run.residual) < 1e-4  # the groups' gradients add up to the whole one's
    shares = [run.share(name) for name in ("head", "tail", *(name for name in run.names if name == "rest"))]
    assert np.nansum(shares, axis=0) == pytest.approx(np.ones(len(run.steps)), abs=1e-4)
    rest = np.nan_to_num(run.share("rest")) if "rest" in run.names else np.zeros(1)
    assert np.abs(rest).max() < 1e-6  # every gradient is that of samples


@pytest.mark.parametrize("method", ["oltr", "fsa"])
def test_it_branches_off_a_training_with_cross_entropy(task, tmp_path, method):
    recipe = find_method(method).on(task, {"epochs": 2, "epochs_2": 1})
    fit(recipe, task, folder=tmp_path / "whole")
    fit(find_method("ce").on(task, {"epochs": 2}), task, folder=tmp_path / "ce")
    fit(recipe, task, folder=tmp_path / "branch", start=branch_point(tmp_path / "ce", recipe, task))
    whole, branch = (torch.load(tmp_path / name / FILE, weights_only=True) for name in ("whole", "branch"))
    assert_same(branch, whole)


def train(folder, method):
    """Returns weights, losses and accuracies."""
    task = shared_task()
    recipe = find_method(method).on(task, {"epochs": 2, "batch": 9, **OPTIONS[method]})
    recipe = dataclasses.replace(recipe, network=lambda made=recipe.network: made().double())
    trained = run_training(recipe, task, folder, seed=2, watching=Watching(every=1, probe_every=2))
    weights = {name: value.numpy().copy() for name, value in trained.fitted.learner.model.state_dict().items()}
    history = [
        {key: value for key, value in row.items() if key not in ("seconds", "phase")} for row in trained.fitted.history
    ]
    return weights, history


@pytest.mark.slow
@pytest.mark.parametrize("method", OPTIONS)
def test_two_processes_do_what_one_does(tmp_path, method):
    weights, history = train(tmp_path / "one", method)
    for other, theirs in together(tmp_path / "processes", train, tmp_path / "two", method):
        assert other.keys() == weights.keys()
        for name, value in weights.items():
            np.testing.assert_allclose(other[name], value, rtol=1e-8, atol=1e-10, err_msg=name)
        for row, expected in zip(theirs, history, strict=True):
            assert row == pytest.approx(expected, rel=1e-9)
    one, two = Run(tmp_path / "one"), Run(tmp_path / "two")
    np.testing.assert_array_equal(two.counts, one.counts)
    np.testing.assert_allclose(two.gram(), one.gram(), rtol=1e-5, atol=1e-9)
    assert np.nanmax(two.residual) < 1e-6
