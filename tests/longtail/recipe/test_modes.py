"""What is frozen does not move, but for BatchNorm statistics that are told to."""

import dataclasses

import pytest
import torch

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import CE
from gradlens.longtail.recipe.learner import derived_seed
from gradlens.longtail.tasks.digits import digits_task
from gradlens.longtail.training.fit import fit


def moved(**changes):
    """Returns the names of parameters and buffers that one epoch changes if only the classifier trains."""
    task = digits_task()
    recipe = CE.on(task, {"epochs": 1})
    phase = dataclasses.replace(recipe.phases[0], trainable=("classifier",), **changes)
    recipe = dataclasses.replace(recipe, phases=(phase,))
    torch.manual_seed(derived_seed(0, "network"))
    before = recipe.network().state_dict()
    after = fit(recipe, task).learner.model.state_dict()
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_a_frozen_part_does_not_move_nor_does_its_batchnorm():
    assert moved() == {"classifier.weight", "classifier.bias"}


def test_parts_that_the_network_does_not_have_are_refused():
    there = r"; there are stem\.0, .*classifier"
    with pytest.raises(LongTailError, match="no parameter's name starts with 'clasifier'" + there):
        fit(CE.on(digits_task(), {"epochs": 1, "trained_parts": "stem, clasifier"}), digits_task())
    with pytest.raises(LongTailError, match="no module's name starts with 'tops'" + there.replace("stem\\.0", "stem")):
        moved(moving=("stem", "tops"))


@pytest.mark.parametrize(
    ("moving", "parts"), [(("",), ("stem", "middle", "top")), (("stem", "top"), ("stem", "top"))], ids=["all", "two"]
)
def test_batchnorm_of_frozen_parts_moves_where_told(moving, parts):
    statistics = {
        f"{part}.1.{name}" for part in parts for name in ("running_mean", "running_var", "num_batches_tracked")
    }
    assert moved(moving=moving) == {"classifier.weight", "classifier.bias"} | statistics
