"""GradientCalls: trainings that never call backward, but use the gradients that ``torch.autograd.grad`` returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from gradlens.tracking.find.sightings import leaves

if TYPE_CHECKING:
    from gradlens.guards.run_once import RunOnce
    from gradlens.tracking.watch.tracker import Tracker


class GradientCalls:
    """Tells the calls that train a model from others (penalties, saliency), and has them measured."""

    def __init__(self, tracker: Tracker) -> None:
        """Prepares.

        Args:
            tracker: Measures, and keeps errors of ours away from the training.
        """
        self._tracker = tracker
        # Ids of what gradients were asked for in the last step, and the call's options: the same is a step again.
        self._last: tuple[list[int], dict[str, Any]] = [], {}

    def repeats(self, inputs: Any, options: dict[str, Any]) -> bool:
        """Whether the gradients asked for are those of a step as the ones before."""
        known, given = self._last
        return (
            isinstance(inputs, list | tuple)
            and list(map(id, inputs)) == known
            and len(options) == len(given)
            and (not given or all(options.get(name, self) is value for name, value in given.items()))
        )

    def passed(self) -> None:
        """Counts a step that is not measured, whose gradients ``repeats`` knew."""
        attaching = self._tracker.attaching
        if attaching is not None and attaching.lens is not None:
            attaching.lens.unmeasured_backward()

    def gradients(
        self,
        roots: list[Tensor],
        inputs: Sequence[Tensor],
        options: dict[str, Any],
        once: RunOnce,
        found: Sequence[Sequence[Tensor | None]],
        *,
        retains: bool,
    ) -> None:
        """Measures gradients that are asked for, where they train a model, while ``guarded``.

        They do in a script that never calls backward, from the second call on: the first may be no training.

        Args:
            roots: The tensors that are differentiated.
            inputs: With respect to what.
            options: The call's other arguments by name.
            once: Computes them.
            found: Holds them as its only entry when ``once`` has run.
            retains: Whether the call keeps the graph for another one.
        """
        seen = self._tracker.seen
        if seen.backward or not all_that_is_trained(roots, inputs):
            return
        self._tracker.count()
        if seen.gradients:
            seen.returned = True
            self._tracker.measured(roots, True, once, lambda: zip(inputs, found[0], strict=True), retains=retains)
            self._last = list(map(id, inputs)), options
        seen.gradients = True


def all_that_is_trained(roots: list[Tensor], inputs: Sequence[Tensor]) -> bool:
    """Says whether gradients with respect to ``inputs`` are those of all that is trained."""
    known = {id(tensor) for tensor in inputs}
    return all(id(leaf) in known for leaf in leaves(roots) if leaf.requires_grad)
