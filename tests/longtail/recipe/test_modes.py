"""What is frozen does not move."""

import dataclasses

import torch

from gradlens.longtail.methods import CE
from gradlens.longtail.recipe.learner import derived_seed
from gradlens.longtail.tasks.digits import digits_task
from gradlens.longtail.training.fit import fit


def test_a_frozen_part_does_not_move_nor_does_its_batchnorm():
    task = digits_task()
    recipe = CE.on(task, {"epochs": 1})
    recipe = dataclasses.replace(recipe, phases=(dataclasses.replace(recipe.phases[0], trainable=("classifier",)),))
    torch.manual_seed(derived_seed(0, "network"))
    before = recipe.network().state_dict()
    after = fit(recipe, task).learner.model.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"classifier.weight", "classifier.bias"}
