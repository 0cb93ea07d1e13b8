"""Tracker: what the patched functions of torch talk to. It measures what it can, and lets nothing of ours disturb training."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradlens.tracking import observe
from gradlens.tracking.find.passes import Passes
from gradlens.tracking.messages import say
from gradlens.tracking.options import TrackOptions
from gradlens.tracking.watch.tracebacks import without_own

if TYPE_CHECKING:
    from torch import Tensor
    from torch.utils.data import DataLoader

    from gradlens.guards.run_once import Once
    from gradlens.lens import Lens
    from gradlens.measure.meter import Taken
    from gradlens.tracking.attach.attachment import Attachment
    from gradlens.tracking.attach.optimizer_changes import Following
    from gradlens.tracking.attach.step_count import StepCount
    from gradlens.tracking.find.evidence import Evidence
    from gradlens.tracking.find.labels import Clues
    from gradlens.tracking.find.sightings import Found
    from gradlens.tracking.watch.gradient_calls import GradientCalls

REENTRANT = (
    "reentrant activation checkpointing computes gradients out of sight of the graph, and only once; pass "
    "use_reentrant=False to torch.utils.checkpoint (Transformers: gradient_checkpointing_kwargs={'use_reentrant': False})"
)
PACKED = (
    "torch.autograd.graph.saved_tensors_hooks of the script or a library keep what autograd saves and may give it back only "
    "once, while a measurement needs it several times; track a training without them (torch's own save_on_cpu is measured)"
)
# Backward passes of a model with a lens of the script, after which no other training is expected.
LEFT_ALONE = 20


class Tracker:
    """The tracking of one script: it searches for the training, then measures it.

    Attributes:
        options: What was asked for.
        folder: The run's folder.
        lens: The lens, once model, anchor and groups are known.
        attachment: On the way there, once a loss was seen.
        asleep: Whether nothing that the script calls matters until the lens, or what follows the training, changes this.
        rests: Whether there is nothing to see in the current step's forward pass: it is not measured, or tracking is over.
        busy: Whether code of ours runs, inside of which the script's functions are not to be watched.
        seen: What was seen so far: "torch", "backward", "whole" and "partial" (backward passes that ask for all gradients of a
            scalar, and others), "gradients", "other gradients" (that ``GradientCalls`` takes for no training), "loss".
        failure: The first error of gradlens itself.
        noticed: What was said once of the training, by its kind.
        leaves: What ends that the patched functions of torch call this tracker.
        gradient_calls: Tells which gradients that the script computes train something.
    """

    gradient_calls: GradientCalls

    def __init__(self, options: TrackOptions, folder: Path, on_attached: Callable[[], None]) -> None:
        """Prepares; nothing happens before ``start``.

        Args:
            options: What was asked for.
            folder: The run's folder.
            on_attached: Called when the lens has been made.
        """
        self.options = options
        self.folder = folder
        self.lens: Lens | None = None
        self.attachment: Attachment | None = None
        self.asleep = False
        self.rests = False
        self.seen: set[str] = set()
        self.failure: Exception | None = None
        self._on_attached = on_attached
        self._following: Following | None = None
        self._clues: Clues | None = None
        self._steps: StepCount | None = None
        self._off = False
        self.busy = False
        self._passes = Passes()
        self.noticed: dict[str, str] = {}
        self._left_alone = 0
        self.leaves: list[Callable[[], None]] = []

    def start(self) -> None:
        """Has torch call this tracker; called when it has just been imported."""
        from gradlens.guards import script_hooks
        from gradlens.guards.compiled import keep_buffers
        from gradlens.tracking.watch.patches import install

        keep_buffers()
        self.seen.add("torch")
        install(self)
        self.leaves.append(script_hooks.hide())
        self.leaves.append(observe.listen(partial(self.quietly, self._named)))
        # Workers and other forked children train nothing that could be written to this run.
        os.register_at_fork(after_in_child=self.stop)

    def stop(self) -> None:
        """Stops for good; torch calls this tracker no more."""
        self._off = self.asleep = self.rests = True
        while self.leaves:
            self.leaves.pop()()
        if self._clues is not None:
            self._clues.stop()
        if self._steps is not None:
            self._steps.end()
        if self._following is not None:
            self._following.stop()

    def _changed(self) -> None:
        """Takes note that the lens or what follows the training has changed: the patched functions ask for one flag only."""
        try:
            lost = self._following is not None and self._following.lost
            rests = self.lens is not None and not self.lens.armed and not lost
            self.rests = self._off or rests
            self.asleep = self.rests and not (self.attachment is not None and self.attachment.every_backward)
            if self._clues is not None and not self._off:
                self._clues.listen(not self.rests)
        except Exception as error:  # in the training's own step
            self.fail(error)

    def loss_called(self, function: str, logits: Any, labels: Any, ignore_index: Any, output: Any) -> None:
        """Notes a loss call of the forward pass."""
        from gradlens.tracking.find.sightings import Sighting, attach, is_trained

        if is_trained(logits, labels, output):
            attach(Sighting(logits, labels, int(ignore_index), function), output)
            self.seen.add("loss")

    def pass_started(self, loader: DataLoader[Any]) -> None:
        """Notes that the script begins to read a DataLoader, unless it does so only to evaluate."""
        import torch

        if self._off or self.busy or not torch.is_grad_enabled():
            return
        if self._passes.began(loader) and self.lens is not None:
            self.lens.epoch = self._passes.count - 1

    def opened(self, loader: DataLoader[Any]) -> None:
        """Notes a DataLoader that is being read already."""
        self._passes.opened(loader)

    def drew(self, iterator: Any, index: Any) -> None:
        """Notes which samples the next batch of a DataLoader holds."""
        if not self._off and not self.busy:
            self._passes.drew(iterator._dataset, index)

    def packed(self, hooks: Any) -> None:
        """Notes functions of the script's own that pack what autograd saves: they may unpack it only once."""
        if not str(getattr(hooks.unpack_hook, "__module__", "")).startswith("torch."):
            self.seen.add("packed")

    def backward(self, roots: list[Tensor], plain: bool, once: Once, *, retains: bool) -> None:
        """Runs a backward pass of the script, and measures it if it is one to be measured, while ``guarded``.

        Args:
            roots: The tensors that are differentiated.
            plain: Whether nothing is asked for but the gradients of scalars.
            once: The backward pass.
            retains: Whether it keeps the graph for another one.
        """
        if not roots:
            return
        if "returned" in self.seen and self.lens is not None:
            self.seen.discard("returned")
            self.lens.skip()  # what was measured of this step were gradients for another purpose
        self.seen |= {"backward", "whole" if plain else "partial"}
        self.count()
        self.measured(roots, plain, once, None, retains=retains)

    def trained_beside(self) -> str | None:
        """Returns the line that says which other models trained, where all of the process was seen and some did."""
        if self._steps is None or self.failure is not None:
            return None
        try:
            return self._steps.others.line()
        except Exception as error:  # the run has still to be closed
            self.fail(error)
            return None

    def fail(self, error: Exception) -> None:
        """Takes an error of gradlens: training goes on without it, or ends if the user wants that.

        Raises:
            Exception: ``error``, where tracking is strict.
        """
        self.failure = self.failure or error
        try:
            self._give_up(error)
        except Exception:
            # The training goes on even where what stops tracking fails; the process's end says what ``failure`` was.
            self._off = self.asleep = self.rests = True
        if self.options.strict:
            raise error

    def _give_up(self, error: Exception) -> None:
        from gradlens.batch.rows import LabelsError
        from gradlens.guards.error_text import in_one_line

        if self.options.strict:
            self.stop()
            return
        if isinstance(error, LabelsError):
            self._notice("labels", f"a step was not measured: {error}")
            if self.lens is not None:
                self.lens.skip()  # nor are its other backward passes; and other processes need not wait for this one
            return
        self.stop()
        text = f"training goes on without being measured (--strict would stop it): {in_one_line(error)}"
        self._notice("internal-error", text)
        if self.lens is not None:
            self.lens.halt()
        elif "backward" in self.seen:
            from gradlens.distributed.exchange import stay_away

            stay_away()

    def quietly(self, action: Callable[..., None], *arguments: Any) -> None:
        """Does something in the middle of the script's own code, and keeps our errors away from it."""
        try:
            action(*arguments)
        except Exception as error:
            self.fail(error)

    def guarded(self, measured: Callable[[Once], None], call: Callable[[], None]) -> None:
        """Runs ``call`` exactly once, inside of ``measured`` or after it, and keeps our errors away from it."""
        from gradlens.guards.run_once import Once

        once = Once(call)
        self.busy = True
        try:
            try:
                measured(once)
            except Exception as error:
                if once.error is None:
                    self.fail(error)
            if not once.ran:
                once()
            elif once.error is not None:
                raise once.error.with_traceback(without_own(once.error.__traceback__))
        finally:
            self.busy = False

    def count(self) -> None:
        """Counts training steps until there is a lens, which goes on from there."""
        if self.lens is None:
            from gradlens.tracking.attach.step_count import StepCount

            self._steps = self._steps or StepCount(self.fail)
            self._steps.backward_ran()

    def measured(
        self, roots: list[Tensor], plain: bool, once: Once, taken: Taken | None, *, retains: bool = False
    ) -> None:
        """Runs a backward pass, measured if it is one to be measured, while ``guarded``.

        Args:
            roots: The tensors that are differentiated.
            plain: Whether nothing is asked for but the gradients of scalars.
            once: The backward pass.
            taken: The gradients that it returns, where it leaves none in ``.grad``.
            retains: Whether it keeps the graph for another one.
        """
        if self.lens is not None and self.rests:
            self.lens.measured_backward(roots[0], anchors=[], labels=roots[0], backward=once)
            return
        from gradlens import marks
        from gradlens.tracking.find import sightings
        from gradlens.tracking.find.labels import Clues

        if marks.measured(lambda: sightings.leaves(roots), self.lens):
            self._notice("own", "a model has a lens of its own already, which goes on alone")
            self._left_alone += 1
            if self.lens is None and self._left_alone >= LEFT_ALONE:
                self.stop()
            return
        if "packed" in self.seen:
            raise RuntimeError(PACKED)
        found = sightings.find(roots) if "loss" in self.seen else []
        if not plain and self.lens is not None:
            self._notice(
                "partial",
                "backward passes with gradient=, create_graph=True or inputs= of some parameters count as 'rest'",
            )
        self._clues = self._clues or Clues(self._notice, self._watching, self.fail)
        try:
            classes = self._classes(found)
            evidence = self._clues.evidence(found, roots, classes) if plain else None
            if self._clues.compiled:
                self._compiled()
            if evidence is not None and self.lens is None:
                self._attach(roots, evidence)
            elif self._following is not None and (self._following.lost or (self.attachment and self.attachment.grown)):
                self._attach_again(roots, evidence)
            if self.lens is not None:
                self._measure(roots, evidence, once, taken, retains)
        finally:
            if not retains:
                sightings.forget(found)

    def _compiled(self) -> None:
        self.seen.add("compiled")
        if self.lens is not None:
            from gradlens.tracking.find.compiled_loss import loss_line

            self._notice("compiled", f"a loss counts as 'rest': {loss_line()}")

    def _classes(self, found: list[Found]) -> int | None:
        """Returns C of the run: once known, or that of the first loss call which the groups asked for fit."""
        from gradlens.tracking.find.evidence import class_count
        from gradlens.tracking.find.group_choice import fit
        from gradlens.tracking.find.targets import contrasts

        if self.attachment is not None:
            return self.attachment.classes(found)
        counts = dict.fromkeys(class_count(item.sighting) for item in found if not contrasts(item.sighting))
        return next((count for count in counts if len(counts) > 1 and fit(self.options, count)), None)

    def _attach(self, roots: list[Tensor], evidence: Evidence) -> None:
        from gradlens.tracking.attach.attachment import Attachment
        from gradlens.tracking.find.sightings import recomputes_unseen

        if recomputes_unseen(roots):
            raise RuntimeError(REENTRANT)
        assert self._steps is not None
        if self.attachment is None:
            candidates = self._passes.candidates
            self.attachment = Attachment(self.options, self.folder, roots, evidence, candidates, self._steps, self.fail)
            self._passes.settle(self.attachment.search.loader)
        if self.attachment.lens(roots, evidence, self._passes.count, self._made) is not None:
            assert self.lens is not None
            self._follow(self.lens)

    def _attach_again(self, roots: list[Tensor], evidence: Evidence | None) -> None:
        """Goes on with what is now trained: the next fold of a cross-validation, say."""
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

    def _follow(self, lens: Lens) -> None:
        assert self.attachment is not None
        self._following = self.attachment.following(lens)
        self._following.on_lost = self._changed
        self._changed()

    def _made(self, lens: Lens) -> None:
        self.lens = lens
        lens.on_armed(self._changed)
        self._changed()
        if self._steps is not None:
            self._steps.end()
        self._on_attached()

    def _measure(
        self, roots: list[Tensor], evidence: Evidence | None, once: Once, taken: Taken | None, retains: bool
    ) -> None:
        assert self.lens is not None
        loss = roots[0] if len(roots) == 1 else sum(roots[1:], roots[0])
        if evidence is not None:
            if self.attachment is not None and (text := self.attachment.unexpected(evidence.labels)):
                self._notice("without data", text)
            self.lens.measured_backward(
                loss,
                anchors=evidence.anchors,
                labels=evidence.labels,
                backward=once,
                ignore_index=evidence.ignore_index,
                class_dim=evidence.class_dim,
                taken=taken,
                labelled=evidence.labelled,
                retains=retains,
            )
            if self.attachment is not None and (text := self.attachment.engine_changed(self.lens)):
                say(text)
        elif taken is None:
            self.lens.rest_backward(loss, backward=once)

    def _named(self, outputs: Any, labels: Any) -> None:
        """Takes what the script names with ``gradlens.observe``."""
        from gradlens.tracking.find.labels import Clues

        if self._watching():
            self._clues = self._clues or Clues(self._notice, self._watching, self.fail)
            self._clues.named(outputs, labels)

    def _watching(self) -> bool:
        return not self.rests and not self.busy

    def _notice(self, kind: str, text: str) -> None:
        """Says something once, here and in the log."""
        if kind in self.noticed:
            return
        self.noticed[kind] = text
        say(text, everywhere=kind == "internal-error")
        if self.lens is not None:
            self.lens.event(kind, message=text)
