"""Attaching: decides when a tracked script gets its lens, and when another model needs a new one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gradlens.tracking.attach.step_count import StepCount
from gradlens.tracking.attach.trainer_logs import TrainerLogs
from gradlens.tracking.find.evidence import Evidence, class_count
from gradlens.tracking.find.group_choice import fit
from gradlens.tracking.find.loss_calls import LossNode, recomputes_unseen
from gradlens.tracking.find.targets import contrasts
from gradlens.tracking.options import TrackOptions

if TYPE_CHECKING:
    from torch import Tensor

    from gradlens.tracking.attach.attachment import Attachment
    from gradlens.tracking.attach.optimizer_changes import OptimizerChanges
    from gradlens.tracking.attach.tracked_lens import TrackedLens
    from gradlens.tracking.find.passes import DataPasses

REENTRANT = (
    "reentrant activation checkpointing computes gradients outside of the graph, and only once; pass "
    "use_reentrant=False to torch.utils.checkpoint (Transformers: gradient_checkpointing_kwargs={'use_reentrant': False})"
)


class Attaching:
    """Counts training steps until the lens is made, makes it, and follows the training to another optimizer or model.

    Attributes:
        lens: The lens; None until model, anchor and groups are known.
        attachment: What is known of the model and the groups so far; None until a loss was seen.
    """

    def __init__(
        self,
        options: TrackOptions,
        folder: Path,
        passes: DataPasses,
        *,
        on_lens: Callable[[TrackedLens], None],
        on_changed: Callable[[], None],
        notice: Callable[[str, str], None],
        fail: Callable[[Exception], None],
    ) -> None:
        """Begins to count steps, at the first backward pass.

        Args:
            options: The options of the command line.
            folder: The run's folder.
            passes: Counts the passes over the data.
            on_lens: Is called with each lens as soon as it has been made.
            on_changed: Is called whenever ``lost`` or ``every_backward`` may have changed.
            notice: Is called with a kind and a line; prints the first line of each kind.
            fail: Is given each error of gradlens in the training's own optimizer steps.
        """
        self._options, self._folder, self._passes = options, folder, passes
        self._on_lens, self._on_changed, self._notice, self._fail = on_lens, on_changed, notice, fail
        self.lens: TrackedLens | None = None
        self.attachment: Attachment | None = None
        self._following: OptimizerChanges | None = None
        self._steps = StepCount(fail)
        self._logs = TrainerLogs(lambda: self.lens, fail)

    @property
    def lost(self) -> bool:
        """Whether the training may have gone on with another model than that of the lens."""
        return self._following is not None and self._following.lost

    @property
    def every_backward(self) -> bool:
        """Whether each backward pass is a step, because no optimizer was found."""
        return self.attachment is not None and self.attachment.every_backward

    def backward_ran(self) -> None:
        """Counts a backward pass, as long as there is no lens to count it."""
        if self.lens is None:
            self._steps.backward_ran()

    def classes(self, found: list[LossNode]) -> int | None:
        """Returns C, the number of classes of the run; None if it is not known yet.

        Before the first lens it is the number of classes of the first loss call that fits the groups in the options.

        Args:
            found: The loss calls of this backward pass.
        """
        if self.attachment is not None:
            return self.attachment.classes(found)
        counts = dict.fromkeys(class_count(item.call) for item in found if not contrasts(item.call))
        return next((count for count in counts if len(counts) > 1 and fit(self._options, count)), None)

    def attach(self, roots: list[Tensor], evidence: Evidence | None) -> None:
        """Makes the lens if there is none, and a new one if the training has gone on with another model.

        Args:
            roots: The tensors that the script differentiates.
            evidence: Anchors and labels of this backward pass; None if they were not found.

        Raises:
            RuntimeError: The script uses reentrant checkpointing, which cannot be measured.
            WrongUse: The groups in the options cannot be made from this data.
        """
        if evidence is not None and self.lens is None:
            self._attach(roots, evidence)
        elif self._following is not None and (self._following.lost or (self.attachment and self.attachment.grown)):
            self._attach_again(roots, evidence)

    def other_models(self) -> str | None:
        """Returns the line that says which other models trained, if some did."""
        return self._steps.others.line()

    def stop(self) -> None:
        """Stops counting and following. No lens is made any more."""
        self._steps.end()
        self._logs.end()
        if self._following is not None:
            self._following.stop()

    def _attach(self, roots: list[Tensor], evidence: Evidence) -> None:
        from gradlens.tracking.attach.attachment import Attachment

        if recomputes_unseen(roots):
            raise RuntimeError(REENTRANT)
        if self.attachment is None:
            candidates = self._passes.candidates
            self.attachment = Attachment(
                self._options, self._folder, roots, evidence, candidates, self._steps, self._fail
            )
            self._passes.settle(self.attachment.search.loader)
        if self.attachment.lens(roots, evidence, self._passes.count, self._made) is not None:
            assert self.lens is not None
            self._follow(self.lens)

    def _attach_again(self, roots: list[Tensor], evidence: Evidence | None) -> None:
        """Measures the model that is trained now, such as the next fold of a cross-validation."""
        assert self.attachment is not None
        assert self.lens is not None
        assert self._following is not None
        before = self.lens
        lens = None if evidence is None else self.attachment.again(roots, evidence, before, self._following, self._made)
        if lens is None:
            self._following.give_up()
            self._notice("model", "training goes on with another model whose labels were not found: it is not measured")
        elif lens is not before:
            self._follow(lens)
            self._passes.move_on()

    def _follow(self, lens: TrackedLens) -> None:
        assert self.attachment is not None
        self._following = self.attachment.following(lens)
        self._following.on_lost = self._on_changed
        self._on_changed()

    def _made(self, lens: TrackedLens) -> None:
        self.lens = lens
        self._steps.end()
        self._logs.begin()
        self._on_lens(lens)
