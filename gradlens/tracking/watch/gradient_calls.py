"""GradientCalls: measures trainings that use the gradients returned by ``torch.autograd.grad`` and never call backward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from gradlens.tracking.find.loss_calls import leaves

if TYPE_CHECKING:
    from gradlens.guards.run_once import RunOnce
    from gradlens.tracking.watch.tracker import Tracker


class GradientCalls:
    """Finds the calls of ``torch.autograd.grad`` that train a model, among others (penalties, saliency), and measures them."""

    def __init__(self, tracker: Tracker) -> None:
        """Keeps its argument. No call was seen yet.

        Args:
            tracker: Measures the calls, and keeps errors of gradlens out of the training.
        """
        self._tracker = tracker
        # Ids of the last step's ``inputs``, and its options. A call with the same ones is a step, too.
        self._last: tuple[list[int], dict[str, Any]] = [], {}

    def repeats(self, inputs: Any, options: dict[str, Any]) -> bool:
        """Says whether a call has the same inputs and options as the last step. Then it is a step, too."""
        known, given = self._last
        return (
            isinstance(inputs, list | tuple)
            and list(map(id, inputs)) == known
            and len(options) == len(given)
            and (not given or all(options.get(name, self) is value for name, value in given.items()))
        )

    def passed(self) -> None:
        """Counts a step that is not measured, after ``repeats`` has returned True."""
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
        """Measures a call if it trains a model. It is called inside ``Faults.guarded``.

        It trains a model if the script never calls backward, and if such a call was seen before: the first one may be something
        else.

        Args:
            roots: The tensors that are differentiated.
            inputs: The tensors with respect to which they are differentiated.
            options: The call's other arguments by name.
            once: Runs the call.
            found: Its only entry is the call's result, after ``once`` has run.
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
    """Says whether ``inputs`` hold all leaves that ``roots`` depend on and that have requires_grad."""
    known = {id(tensor) for tensor in inputs}
    return all(id(leaf) in known for leaf in leaves(roots) if leaf.requires_grad)
