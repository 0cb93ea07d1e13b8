"""The engine and the meter stay fitted while a training freezes, thaws and replaces layers, or changes its loss."""

from __future__ import annotations

import pytest
from torch import nn

from gradlens.batch.rows import LabelsError
from gradlens.groups import ClassGroups
from gradlens.measure.engine_and_meter import EngineAndMeter
from gradlens.measure.processes import SingleProcess

GROUPS = ClassGroups({"head": [0, 1], "tail": [2]}, 3)


def current_of(model: nn.Module, engine: str = "split") -> tuple[EngineAndMeter, list[str]]:
    changes: list[str] = []
    return EngineAndMeter(model, GROUPS, engine, lambda name, reason: changes.append(name), SingleProcess()), changes


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))


def measured(current: EngineAndMeter) -> list[int]:
    return [id(param) for param in current.meter.params]


def test_the_names_of_the_recorded_vectors():
    current, _ = current_of(network())
    assert current.names(update=False) == ("head", "tail", "rest")
    assert current.names(update=True) == ("head", "tail", "rest", "update")
    current.meter_for(("ce", "kd"))
    assert current.names(update=False) == ("ce/head", "ce/tail", "kd/head", "kd/tail", "rest")


def test_a_model_that_is_frozen_is_refused():
    with pytest.raises(ValueError, match="unfreeze some before making the lens"):
        current_of(network().requires_grad_(False))


def test_parameters_that_are_frozen_before_a_step_leave_the_meter():
    model = network()
    current, changes = current_of(model)
    model[0].requires_grad_(False)
    current.arm()
    assert measured(current) == list(map(id, model[2].parameters()))
    assert current.switch.engine.name == "split"
    current.switch.engine.disarm()
    assert changes == []


def test_parameters_that_are_thawed_inside_of_a_step_are_measured_by_the_masked_engine_once():
    model = network()
    model[0].requires_grad_(False)
    current, changes = current_of(model)
    current.arm()
    model[0].requires_grad_(True)
    current.switch.engine.disarm()
    meter = current.meter_for(())
    assert [id(param) for param in meter.params] == list(map(id, model.parameters()))
    current.arm()  # the next step has its engine again
    assert current.switch.engine.name == "split"
    assert measured(current) == list(map(id, model.parameters()))
    assert len(model[0]._forward_hooks) == 1  # it listens to the layer that was thawed
    current.switch.engine.disarm()
    assert changes == []


def test_a_new_head_is_measured_from_the_next_step_on():
    model = network()
    current, _ = current_of(model)
    model[2] = nn.Linear(5, 3)
    current.arm()
    assert measured(current) == list(map(id, model.parameters()))
    current.switch.engine.disarm()


def test_the_components_of_one_step_are_the_same_in_each_pass():
    model = network()
    current, _ = current_of(model)
    meter = current.meter_for(("ce", "kd"))
    penalty = sum(param.square().sum() for param in model.parameters())
    meter.measure_rest([penalty, penalty.detach() * 0], penalty.backward)
    assert current.meter_for(("ce", "kd")) is meter
    with pytest.raises(LabelsError, match=r"loss components \['ce'\] follow \['ce', 'kd'\] within one optimizer step"):
        current.meter_for(("ce",))
    current.reset()
    assert current.meter_for(("ce",)) is not meter


def test_an_engine_that_cannot_be_used_is_replaced_at_once():
    current, changes = current_of(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)))
    assert changes == ["masked"]
    assert "mixes the samples" in current.switch.reason
