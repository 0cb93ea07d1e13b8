"""lens.probe and group_gradients run passes of their own: the script's backward hooks hear of none, and stay what they are."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gradlens import Lens, group_gradients
from tests.guards.scripts_with_hooks import GROUPS, KINDS, Script

# These are called in the forward pass already, which is the script's own in a probe as in any evaluation.
NOT_BACKWARD = ("retained",)
# Torch shows nobody the hooks of a tensor of a graph that was made while no lens was there.
UNSEEN = ("tensor", "several_tensors", "any_of_several_tensors")
CASES = [
    (kind, looked_at)
    for kind in KINDS
    for looked_at in ("snapshot", "lens snapshot", "lens probe")
    if kind.__name__ not in NOT_BACKWARD and not (looked_at == "snapshot" and kind.__name__ in UNSEEN)
]

pytestmark = pytest.mark.filterwarnings("ignore:Full backward hook is firing", "ignore:Using a non-full backward hook")


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(16, 6, generator=generator), torch.randint(0, 4, (16,), generator=generator)


def outcome(script: Script, kind: object, *, looked_at: str) -> tuple[int, float, list[Tensor]]:
    """How often hooks ran, what they saw, and the gradients that the script's own backward pass left."""
    kind(script)
    x, y = batch()
    lens = Lens(script.model, GROUPS, every=1000) if "lens" in looked_at else None
    loss = F.cross_entropy(script.model(x), y)
    before = script.calls
    if "snapshot" in looked_at:
        group_gradients(script.model, loss, y, GROUPS)
    if "probe" in looked_at:
        lens.probe([(x, y)])
    assert script.calls == before
    loss.backward()
    if lens is not None:
        lens.close()
    for handle in script.handles:
        handle.remove()
    return script.calls, script.seen, [param.grad for param in script.model.parameters()]


@pytest.mark.parametrize(
    ("kind", "looked_at"), CASES, ids=lambda value: value if isinstance(value, str) else value.__name__
)
def test_hooks_hear_of_the_training_only(kind, looked_at):
    calls, seen, gradients = outcome(Script(), kind, looked_at="")
    found = outcome(Script(), kind, looked_at=looked_at)
    assert calls > 0
    assert found[:2] == (calls, seen)
    assert all(map(torch.equal, gradients, found[2]))


def test_what_retain_grad_keeps_is_not_added_to():
    script, kept = Script(), []

    def keep(hidden):
        hidden.retain_grad()
        kept.append(hidden)

    script.model.on_hidden = keep
    x, y = batch()
    with Lens(script.model, GROUPS, every=1000) as lens:
        loss = F.cross_entropy(script.model(x), y)
        group_gradients(script.model, loss, y, GROUPS)
        lens.probe([(x, y)])
        assert all(hidden.grad is None for hidden in kept)
        loss.backward()
    logits = script.model.second(kept[0].detach())
    truth = (logits.softmax(1) - F.one_hot(y, 4)) / len(y) @ script.model.second.weight
    torch.testing.assert_close(kept[0].grad, truth)


def test_hooks_come_back_after_an_error():
    script = Script()
    script.model.second.register_full_backward_hook(lambda _, gi, go: script.note(*go))
    x, y = batch()
    loss = F.cross_entropy(script.model(x), y)
    with pytest.raises(ValueError, match="label"):
        group_gradients(script.model, loss, torch.full_like(y, 9), GROUPS)
    loss.backward()
    assert script.calls == 1
