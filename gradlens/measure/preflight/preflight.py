"""Preflight: looks through the graph, before gradlens' own backward passes, for anything that they would disturb."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor, nn
from torch.optim import Optimizer

from gradlens.autograd.graph import Node, edge_of, walk
from gradlens.batch.rounding import rounding_of_graph
from gradlens.guards.script_hooks import ScriptHook, hooks_of, is_needed, names_of, taken
from gradlens.measure.preflight.one_pass import why_once
from gradlens.measure.preflight.refusal import Refusal
from gradlens.measure.preflight.repeatable import Repeatable, RepeatedPasses

OPACUS = (
    "Opacus clips the gradient of each sample and adds noise in optimizer.step, so what the optimizer steps on is no sum of the "
    "groups' gradients"
)


class Preflight:
    """Checks each graph before gradlens runs its own passes over it.

    Attributes:
        rounding: Relative rounding error of the least precise copies in the graph that was checked last.
    """

    def __init__(self) -> None:
        self._repeatable = Repeatable()
        self._passes: RepeatedPasses | None = None
        self.rounding = 0.0

    def check(
        self,
        model: nn.Module,
        optimizer: Optimizer | None,
        losses: Sequence[Tensor],
        restore: Callable[[], None],
    ) -> Callable[[], None]:
        """Checks a graph and prepares it for gradlens' own passes.

        It looks at the graph only: no arithmetic, no wait for a device, about two microseconds for each node.

        Args:
            model: The model.
            optimizer: Its optimizer, or None.
            losses: The losses that are differentiated.
            restore: Undoes what gradlens' own passes change. The returned function calls it.

        Returns:
            A function to call after gradlens' own passes. It makes everything as it was.

        Raises:
            Refusal: gradlens' own passes would disturb a hook of the script, a library or a node of the graph.
            Exception: gradlens itself failed when it handled the script's hooks.
        """
        taken.check()
        if any(type(each).__module__.startswith("opacus.") for each in (optimizer, model, *model.children())):
            raise Refusal(OPACUS)
        nodes = list(nodes_of(losses))
        for node in {type(node): node for node in nodes}.values():  # the kind of a node decides
            if (once := why_once(node)) is not None:
                raise Refusal(once)
        for node in nodes:
            for hook in hooks_of(node):
                if not isinstance(hook, ScriptHook) and not is_needed(hook):
                    names = ", ".join(names_of(hook))
                    raise Refusal(
                        f"the backward hook {names} was there before gradlens, so passes of a measurement would run it"
                    )
        self.rounding = rounding_of_graph(nodes)
        # torch's linear_cross_entropy in chunks gives out the gradients of its forward pass only once. This allows more.
        consumed = [
            node
            for node in nodes
            if getattr(node, "allow_retain_graph", True) is False and "linear_cross_entropy" in node.name()
        ]
        for node in consumed:
            node.allow_retain_graph = True
        passes = self._passes = self._repeatable.begin(nodes)

        def as_it_was() -> None:
            try:
                restore()
            finally:
                passes.restore()
                for node in consumed:
                    node.allow_retain_graph = False

        taken.changing.clear()
        taken.listening = True
        return as_it_was

    def repeat(self, losses: Sequence[Tensor], anchors: Sequence[Tensor], params: Sequence[nn.Parameter]) -> None:
        """Checks that two equal passes give equal gradients, unless that is known; see ``RepeatedPasses.check``.

        Raises:
            Refusal: The results differ.
        """
        if self._passes is not None:
            self._passes.check(losses, anchors, params)


def nodes_of(losses: Sequence[Tensor]) -> Iterator[Node]:
    """Yields each node of a graph once. Leaves out those that accumulate into ``.grad``: gradlens' passes do not run them."""
    return walk(map(edge_of, losses), leaves=False)
