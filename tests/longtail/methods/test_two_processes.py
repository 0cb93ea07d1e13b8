"""Two processes train as one does: losses of the whole batch, branches, experts, and both stages of decoupled methods."""

import dataclasses

import numpy as np
import pytest
from torch import nn

from gradlens.longtail.methods import find_method
from gradlens.longtail.networks.cut import Cut, GlobalAverage
from gradlens.longtail.networks.network import Network
from gradlens.longtail.tasks.digits import SETTINGS
from gradlens.longtail.training.fit import fit
from tests.distributed.processes import together
from tests.longtail.tiny_training import tiny_task

METHODS = {
    "bbn": {"nesterov": True},
    "eql-v2": {},
    "ride": {"diversity": 0.45, "weighted_from": 0.5},
    "sade": {},
    "ncm": {},
    "crt": {"epochs_2": 2},
    "lws": {"epochs_2": 2, "stage_2_from": "best"},
    "tau-norm": {"stage_2_from": "best"},
    "logit-adjustment-post-hoc": {"tau": None},
}


class Small(Network):
    """Without BatchNorm and dropout: nothing in which a share of a batch differs from the batch."""

    def __init__(self):
        super().__init__()
        self.features = 5
        self.lower = nn.Sequential(nn.Conv2d(1, 4, 2), nn.Tanh())
        self.upper = self.made()
        self.classifier = nn.Linear(5, 3)

    def made(self):
        return nn.Sequential(nn.Conv2d(4, 5, 1), nn.Tanh(), GlobalAverage())

    def trunk(self, images):
        return self.upper(self.lower(images))

    def before_last_block(self):
        return Cut(self.lower, self.made, 5)

    def after_first_stages(self, width):
        return Cut(self.lower, self.made, 5)


def trained():
    """Returns history, steps and state of a training with each method. Batches of 5 of 17 images, the last one of 2."""
    found = {}
    for name, changes in METHODS.items():
        task = dataclasses.replace(tiny_task((9, 5, 3)), settings=SETTINGS, network=lambda settings, signed: Small())
        task.train._data = dataclasses.replace(task.train._data, images=task.train._data.images.double())
        recipe = find_method(name).on(task, {"epochs": 3, "batch": 5} | changes)
        recipe = dataclasses.replace(recipe, network=lambda recipe=recipe: recipe.network().double())
        fitted = fit(recipe, task, seed=3)
        rows = [{key: row[key] for key in ("loss", "overall") if key in row} for row in fitted.history]
        parts = {"model": fitted.learner.model, **fitted.learner.modules}
        state = {f"{part} {key}": v.tolist() for part, m in parts.items() for key, v in m.state_dict().items()}
        found[name] = (fitted.steps, [row.get("chosen") for row in fitted.history], rows, state)
    return found


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return trained(), together(tmp_path_factory.mktemp("processes"), trained)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_two_processes_do_what_one_does(both, method):
    alone, others = both
    steps, chosen, rows, state = alone[method]
    assert len({str(row["loss"]) for row in rows if "loss" in row}) > 1  # it does train
    for other_steps, other_chosen, other_rows, other in (found[method] for found in others):
        assert other_steps == steps
        assert other_chosen == chosen
        for row, expected in zip(other_rows, rows, strict=True):
            assert row == pytest.approx(expected, rel=1e-6)
        assert other.keys() == state.keys()
        for name, value in state.items():
            np.testing.assert_allclose(other[name], value, rtol=1e-5, atol=1e-7, err_msg=name)
