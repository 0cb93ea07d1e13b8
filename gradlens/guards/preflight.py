"""Preflight: what is known to stand against further backward passes is found in the graph before the first of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from gradlens.guards.refusal import Refusal
from gradlens.guards.script_hooks import ScriptHook, hooks_of, is_needed, names_of, taken

OPACUS = (
    "Opacus clips the gradient of each sample and adds noise in optimizer.step, so what the optimizer steps on is no sum of the "
    "groups' gradients"
)


def check(
    model: nn.Module, optimizer: Optimizer | None, losses: Sequence[Tensor], restore: Callable[[], None]
) -> Callable[[], None]:
    """Checks a graph and prepares it for passes of ours; returns what makes it as it was.

    Structure only: no arithmetic, no synchronisation with a device, about two microseconds for each node.

    Args:
        model: The model.
        optimizer: Its optimizer.
        losses: What is differentiated.
        restore: Puts back what passes of ours change; belongs to what is returned.

    Raises:
        Refusal: A hook of the script, or a library, that passes of ours would disturb.
        Exception: What went wrong in the script's hooks on our side.
    """
    taken.check()
    of_opacus = any(type(each).__module__.startswith("opacus.") for each in (optimizer, model, *model.children()))
    if of_opacus:
        raise Refusal(OPACUS)
    consumed: list[Any] = []
    for node in _nodes(losses):
        for hook in hooks_of(node):
            if not isinstance(hook, ScriptHook) and not is_needed(hook):
                names = ", ".join(names_of(hook))
                raise Refusal(
                    f"the backward hook {names} was there before gradlens, so passes of a measurement would run it"
                )
        # torch's linear_cross_entropy in chunks hands out the gradients of its forward pass once, unless it is told otherwise.
        if getattr(node, "allow_retain_graph", True) is False:
            consumed.append(node)
    for node in consumed:
        node.allow_retain_graph = True

    def as_it_was() -> None:
        try:
            restore()
        finally:
            for node in consumed:
                node.allow_retain_graph = False

    return as_it_was


def _nodes(losses: Sequence[Tensor]) -> Iterator[Any]:
    """Yields the nodes of a graph, each once, without those that accumulate: passes of ours do not run them."""
    waiting: list[Any] = [loss.grad_fn for loss in losses if loss.grad_fn is not None]
    seen = set(waiting)
    while waiting:
        node = waiting.pop()
        yield node
        for child, _ in node.next_functions:
            if child is not None and child not in seen and not hasattr(child, "variable"):
                seen.add(child)
                waiting.append(child)
