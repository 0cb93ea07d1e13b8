"""TrackedLens: a lens whose passes the script runs itself, and what tracking tells it of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gradlens.batch.labelled import Labelled
from gradlens.lens import Lens
from gradlens.measure.labelled_pass import LabelledPass
from gradlens.measure.meter import Taken


class TrackedLens(Lens):
    """Is given backward passes with their anchors and labels, and is told what else the script does."""

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
    ) -> None:
        """Runs ``backward`` exactly once, and measures it if this step is one to be measured.

        Args:
            loss: Scalar that ``backward`` differentiates.
            anchors: The tensors whose rows are samples.
            labels: Their labels.
            backward: The backward pass.
            ignore_index: The label that belongs to no sample.
            class_dim: Where the anchors have their classes, if that is known.
            taken: Returns (parameter, gradient) pairs, where ``backward`` leaves nothing in ``.grad``.
            labelled: The anchors again, where they have labels of their own.
            retains: Whether ``backward`` keeps the graph for a pass over another loss.

        Raises:
            LabelsError: As ``backward``; the backward pass has not run then.
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
            )
            self._stepper.measure(labelled_pass, backward)
        else:
            self._stepper.plain(backward)

    def rest_backward(self, loss: Tensor, *, backward: Callable[[], None]) -> None:
        """Runs ``backward`` exactly once; where measured, its gradient, which no label is known for, counts as ``rest``."""
        self._stepper.measure_rest([loss], backward) if self._stepper.armed else self._stepper.plain(backward)

    def unmeasured_backward(self) -> None:
        """Takes note of a backward pass that has run in a step that is not measured."""
        self._stepper.passed()

    def follow(self, optimizer: torch.optim.Optimizer, *, stepped: bool = False) -> None:
        """Takes the steps of another optimizer as training steps from now on; ``stepped``: with the one it has just taken."""
        self._stepper.follow(optimizer, stepped=stepped)

    def on_armed(self, changed: Callable[[], None]) -> None:
        """Calls ``changed`` whenever ``armed`` may have changed, for who would have to ask too often."""
        self._stepper.arming.on_changed = changed

    def skip(self) -> None:
        """Leaves the current step unmeasured, such as one whose forward pass ran before the lens was made."""
        self._stepper.skip()

    def halt(self) -> None:
        """Measures no more; the run stays open."""
        self._stepper.stop()

    def check_ahead(self, roots: Sequence[Tensor], anchors: Sequence[Tensor], dims: int, *, several: bool) -> None:
        """Chooses the engine again by a backward pass that is about to run; see ``SplitEngine.check_ahead``."""
        self._stepper.current.switch.check_ahead(roots, anchors, dims, several=several)
