"""TrackedLens: the lens of a tracked script. The script calls torch itself; tracking tells the lens what it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gradlens.batch.labelled import Labelled
from gradlens.lens import Lens
from gradlens.measure.labelled_pass import LabelledPass
from gradlens.measure.meter import Taken


class TrackedLens(Lens):
    """A lens with further methods, by which tracking hands over backward passes and changes of the training."""

    def measured_backward(
        self,
        loss: Tensor,
        *,
        anchors: Sequence[Tensor],
        labels: Tensor,
        backward: Callable[[], None],
        ignore_index: int = -100,
        class_dim: int | None = None,
        taken: Taken | None = None,
        labelled: Sequence[Labelled] = (),
        retains: bool = False,
        logits: Tensor | None = None,
        members: Tensor | None = None,
    ) -> None:
        """Runs ``backward`` exactly once, and measures it if this step is one to be measured.

        Args:
            loss: Scalar that ``backward`` differentiates.
            anchors: The tensors whose rows are samples.
            labels: Their labels.
            backward: The backward pass.
            ignore_index: The label of rows that are no samples.
            class_dim: The dimension of the anchors that holds the classes; None if it is not known.
            taken: Returns (parameter, gradient) pairs, if ``backward`` leaves nothing in ``.grad``.
            labelled: The anchors, each with labels of its own; () if all have the same labels.
            retains: Whether ``backward`` keeps the graph for a pass over another loss.
            logits: The tensor that loss and hits are counted from; None if it is the anchor with C columns.
            members: Values of the attribute that the groups are made of; None for groups of classes.

        Raises:
            LabelsError: See ``Lens.backward``. The backward pass has not run then.
        """
        if self._stepper.armed:
            self._stepper.arming.take_outputs()
            labelled_pass = LabelledPass(
                [loss],
                list(anchors),
                labels,
                ignore_index=ignore_index,
                class_dim=class_dim,
                taken=taken,
                labelled=labelled,
                retains=retains,
                logits=logits,
                members=members,
            )
            self._stepper.measure(labelled_pass, backward)
        else:
            self._stepper.plain(backward)

    def rest_backward(self, loss: Tensor, *, backward: Callable[[], None]) -> None:
        """Runs ``backward``, a pass without known labels, exactly once. If it is measured, its gradient counts as ``rest``."""
        self._stepper.measure_rest([loss], backward) if self._stepper.armed else self._stepper.plain(backward)

    def unmeasured_backward(self) -> None:
        """Counts a backward pass that has run in a step that is not measured."""
        self._stepper.passed()

    def follow(self, optimizer: torch.optim.Optimizer, *, stepped: bool = False) -> None:
        """Takes the steps of another optimizer as training steps; ``stepped``: it has just stepped in the current one."""
        self._stepper.follow(optimizer, stepped=stepped)

    def on_armed(self, changed: Callable[[], None]) -> None:
        """Has ``changed`` called whenever ``armed`` may have changed."""
        self._stepper.arming.on_changed = changed

    def skip(self) -> None:
        """Leaves the current step unmeasured."""
        self._stepper.skip()

    def halt(self) -> None:
        """Stops measuring. The run stays open."""
        self._stepper.stop()

    def check_ahead(self, roots: Sequence[Tensor], anchors: Sequence[Tensor], dims: int, *, several: bool) -> None:
        """Chooses the engine for the backward pass that comes now; see ``SplitEngine.check_ahead``."""
        self._stepper.current.switch.check_ahead(roots, anchors, dims, several=several)
