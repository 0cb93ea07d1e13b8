"""Forward hooks of the script are found by name; those of torch and of gradlens are not meant."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.nn.utils import prune

from gradlens.guards.forward_hooks import script_forward_hooks
from gradlens.guards.module_hook import InstalledHook, StepHook


def mine(*_: object) -> None: ...


def model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU()))


def test_hooks_on_any_module_of_the_model_are_found():
    each = model()
    assert script_forward_hooks(each) == []
    each[1][0].register_forward_hook(mine)
    each[0].register_forward_pre_hook(mine)
    assert len(script_forward_hooks(each)) == 2
    assert all("mine" in name for name in script_forward_hooks(each))
    assert script_forward_hooks(model()) == []


def test_hooks_for_all_modules_are_found():
    handles = register_module_forward_hook(mine), register_module_forward_pre_hook(mine)
    found = script_forward_hooks(model())
    for handle in handles:
        handle.remove()
    assert len(found) == 2


def test_hooks_of_torch_and_of_gradlens_are_left_out():
    each = model()
    prune.random_unstructured(each[0], "weight", amount=1)
    one = InstalledHook(each, StepHook(mine, print), before=False, first=False, with_kwargs=False)
    assert each[0]._forward_pre_hooks
    assert script_forward_hooks(each) == []
    one.remove()
    assert torch.equal(each[0].weight, each[0].weight_orig * each[0].weight_mask)
