"""A step that is armed waits for the forward pass; afterwards nothing is left on the model."""

from __future__ import annotations

import torch
from torch import nn

from gradlens.groups import ClassGroups
from gradlens.measure.arming import Arming
from gradlens.measure.engine_and_meter import EngineAndMeter
from gradlens.measure.processes import SingleProcess


def test_outputs_are_kept_while_a_step_is_armed():
    model = nn.Linear(2, 3)
    groups = ClassGroups({"head": [0], "tail": [1, 2]}, 3)
    current = EngineAndMeter(model, groups, "split", lambda *_: None, SingleProcess())
    arming = Arming(current, lambda error: None)
    told: list[bool] = []
    arming.on_changed = lambda: told.append(arming.armed)

    arming.set(True)
    arming.arm()
    output = model(torch.ones(1, 2))
    assert arming.take_outputs() == [output]
    assert arming.take_outputs() == []
    assert arming.rounding == 0.0
    assert len(model._forward_hooks) == 2  # of the watch, and of the split engine

    model(torch.ones(1, 2))
    arming.set(False)
    arming.disarm()
    assert arming.take_outputs() == []
    assert not model._forward_hooks
    assert told == [True, False]


def test_the_rounding_of_a_pass_in_reduced_precision_is_known():
    model = nn.Linear(2, 3)
    groups = ClassGroups({"head": [0], "tail": [1, 2]}, 3)
    arming = Arming(EngineAndMeter(model, groups, "masked", lambda *_: None, SingleProcess()), lambda error: None)
    arming.arm()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model(torch.ones(1, 2))
    assert arming.rounding == torch.finfo(torch.bfloat16).eps
    arming.disarm()
