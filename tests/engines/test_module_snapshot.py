"""What a snapshot of modules notices, and that it keeps nothing alive which the training drops."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens import ClassGroups, Lens
from gradlens.engines.module_snapshot import ModuleSnapshot
from gradlens.engines.protocol import EngineRefusal
from gradlens.engines.split import SplitEngine


def model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3)).eval()


CHANGES: dict[str, Callable[[nn.Sequential], object]] = {
    "mode": lambda m: m[1].train(),
    "layer": lambda m: m.__setitem__(0, nn.Linear(4, 5)),
    "order": lambda m: m.append(m.pop(0)),
    "parameter": lambda m: setattr(m[0], "weight", nn.Parameter(torch.ones(5, 4))),
    "dtype": lambda m: m[0].half(),
    "no bias": lambda m: setattr(m[0], "bias", None),
    "forward": lambda m: setattr(m[0], "forward", m[0].forward),
    "class": lambda m: setattr(m[0], "__class__", type("Other", (nn.Linear,), {})),
    "setting": lambda m: setattr(m[1], "eps", 0.5),
    "hooks": lambda m: setattr(m[0], "_forward_hooks", OrderedDict()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changes_are_noticed(change: str) -> None:
    changed = model()
    snapshot = ModuleSnapshot(changed)
    assert snapshot.holds(changed)
    CHANGES[change](changed)
    assert not snapshot.holds(changed)


class Remembers(nn.Module):
    """A module that keeps its newest activation and a state of several tensors, as attention and recurrent modules do."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.out = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        self.seen = torch.tanh(self.inside(x))
        self.state = (self.seen, self.seen * 2)
        result: Tensor = self.out(self.seen)
        return result


@pytest.mark.parametrize("engine", ["masked", "split", "func"])
def test_activations_that_a_module_keeps_live_no_longer_than_without_a_lens(engine: str) -> None:
    torch.manual_seed(0)
    remembers = Remembers()
    optimizer = torch.optim.SGD(remembers.parameters(), lr=0.1)
    labels, old = torch.arange(6) % 3, []
    with Lens(remembers, ClassGroups.per_class(3), optimizer=optimizer, every=2, engine=engine) as lens:
        for _ in range(6):
            loss = F.cross_entropy(remembers(torch.randn(6, 4)), labels)
            old.append(weakref.ref(remembers.seen))
            lens.backward(loss, labels)
            optimizer.step()
            optimizer.zero_grad()
            del loss
            assert [number for number, activation in enumerate(old) if activation() is not None] == [len(old) - 1]
        assert lens.last is not None


def test_a_layer_that_is_moved_to_another_dtype_is_looked_at_again() -> None:
    normed = nn.Sequential(nn.Linear(4, 5), nn.RMSNorm(5))
    engine = SplitEngine(normed, list(normed.parameters()))
    engine.arm()
    engine.disarm()
    normed.bfloat16()
    with pytest.raises(EngineRefusal, match="eps=None"):
        engine.arm()
