"""An engine that is interrupted while it installs its hooks leaves none of them on the model."""

from __future__ import annotations

import pytest
from torch import nn

from gradlens.engines.func import FuncEngine
from gradlens.engines.split import SplitEngine
from gradlens.guards.module_hook import InstalledHook, listening


@pytest.mark.parametrize("engine", [SplitEngine, FuncEngine])
def test_an_interrupt_leaves_no_hook(engine, monkeypatch):
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    made, install = [], InstalledHook.__init__

    def interrupted(self, *args, **kwargs):
        if made:
            raise KeyboardInterrupt
        install(self, *args, **kwargs)
        made.append(self)

    monkeypatch.setattr(InstalledHook, "__init__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        engine(model, list(model.parameters())).arm()
    assert made
    assert not listening()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
