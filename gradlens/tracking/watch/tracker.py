"""Tracker: is called by the patched functions of torch, finds the training of the script, and measures it."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradlens import marks
from gradlens.tracking import observe
from gradlens.tracking.find.passes import DataPasses
from gradlens.tracking.messages import say
from gradlens.tracking.options import TrackOptions
from gradlens.tracking.watch.faults import Faults, give_up
from gradlens.tracking.watch.notices import PARTIAL, Notices
from gradlens.tracking.watch.seen import Seen
from gradlens.tracking.watch.state import State, Watch
from gradlens.tracking.watch.threads import Threads

if TYPE_CHECKING:
    from torch import Tensor
    from torch.utils.data import DataLoader

    from gradlens.guards.run_once import RunOnce
    from gradlens.measure.meter import Taken
    from gradlens.tracking.attach.attaching import Attaching
    from gradlens.tracking.attach.tracked_lens import TrackedLens
    from gradlens.tracking.find.evidence import Evidence
    from gradlens.tracking.find.labels import LabelSearch
    from gradlens.tracking.provenance.batches import Batches
    from gradlens.tracking.watch.gradient_calls import GradientCalls

PACKED = (
    "torch.autograd.graph.saved_tensors_hooks of the script or a library keep the tensors that autograd saves, and may return "
    "them only once, but a measurement needs them several times; train without these hooks (torch's own save_on_cpu is fine)"
)
# After this many backward passes of a model that has the script's own lens, no other training is expected.
LEFT_ALONE = 20


class Tracker:
    """The tracking of one script: it searches for the training, then measures it.

    Attributes:
        options: The options of the command line.
        folder: The run's folder.
        watch: Says what the patched functions look at now.
        faults: Keeps errors of gradlens out of the script.
        attaching: Makes the lens; None before the first backward pass.
        seen: What the script has done so far.
        notices: Prints lines about the training.
        leaves: Functions to call at the end, so that the patched functions no longer call this tracker.
        gradient_calls: Finds the calls of ``torch.autograd.grad`` that train a model.
        batches: Keeps what the script's loaders yield, while labels are looked for in it; None before ``start``.
    """

    gradient_calls: GradientCalls

    def __init__(self, options: TrackOptions, folder: Path, on_attached: Callable[[], None]) -> None:
        """Keeps its arguments. Nothing is watched before ``start``.

        Args:
            options: The options of the command line.
            folder: The run's folder.
            on_attached: Is called when a lens has been made.
        """
        self.options = options
        self.folder = folder
        self.watch = Watch()
        self.faults = Faults(self.watch, partial(give_up, self), strict=options.strict)
        self.attaching: Attaching | None = None
        self.seen = Seen()
        self.notices = Notices(lambda: self.lens)
        self.leaves: list[Callable[[], None]] = []
        self.batches: Batches | None = None
        self._on_attached = on_attached
        self._label_search: LabelSearch | None = None
        self._passes = DataPasses()
        self._threads = Threads(self.watch)
        self._left_alone = 0

    @property
    def lens(self) -> TrackedLens | None:
        """The lens; None until model, anchor and groups are known."""
        return None if self.attaching is None else self.attaching.lens

    def start(self) -> None:
        """Starts to watch the script. It must be called when torch has just been imported."""
        from gradlens.guards import script_hooks, script_modes
        from gradlens.guards.compiled import keep_buffers
        from gradlens.tracking.watch.patches import install

        keep_buffers()
        self.seen.torch = True
        install(self)
        self.leaves += [script_hooks.hide(), marks.keep_early()]
        self.leaves.append(observe.listen(partial(self.faults.quietly, script_modes.unseen, self.named)))
        # Workers of data loaders and other forked children must not write to this run.
        os.register_at_fork(after_in_child=self.stop)

    def stop(self) -> None:
        """Stops for good. The patched functions no longer call this tracker."""
        self.watch.turn(State.OFF)
        while self.leaves:
            self.leaves.pop()()
        if self._label_search is not None:
            self._label_search.stop()
        if self.attaching is not None:
            self.attaching.stop()

    def _changed(self) -> None:
        """Sets the state that the patched functions read. It is called when the lens or ``attaching`` has changed."""
        try:
            if self.leaves:  # else it has stopped, and halts its lens, which calls this, too
                self.watch.turn(self._state())
            if self._label_search is not None and self.watch.of_step is not State.OFF:
                self._label_search.listen(self.watch.of_step is State.ALL)
        except Exception as error:  # in the training's own step
            self.faults.fail(error)

    def _state(self) -> State:
        attaching = self.attaching
        if attaching is None or attaching.lens is None or attaching.lens.armed or attaching.lost:
            return State.ALL
        return State.BACKWARD if attaching.every_backward else State.IDLE

    def loss_called(self, function: str, logits: Any, labels: Any, ignore_index: Any, output: Any) -> None:
        """Is called for each loss call of the forward pass."""
        from gradlens.tracking.find.loss_calls import LossCall, attach, is_trained

        if is_trained(logits, labels, output):
            attach(LossCall(logits, labels, int(ignore_index), function), output)
            self.seen.loss = True

    def pass_started(self, loader: DataLoader[Any]) -> None:
        """Is called when the script begins to read a DataLoader. Counts it, unless gradients are off (an evaluation)."""
        import torch

        if self.watch.state <= State.BUSY or not torch.is_grad_enabled():
            return
        if self._passes.began(loader) and self.lens is not None:
            self.lens.epoch = self._passes.count - 1

    def opened(self, loader: DataLoader[Any]) -> None:
        """Is called for a DataLoader that is being read already."""
        self._passes.opened(loader)

    def drew(self, iterator: Any, index: Any) -> None:
        """Is called with the indices of the samples in the next batch of a DataLoader."""
        self._passes.drew(iterator._dataset, index)

    def packed(self, hooks: Any) -> None:
        """Is called for hooks that pack the tensors that autograd saves. The script's own may unpack them only once."""
        if not str(getattr(hooks.unpack_hook, "__module__", "")).startswith("torch."):
            self.seen.packed = True

    def backward(self, roots: list[Tensor], plain: bool, once: RunOnce, *, retains: bool) -> None:
        """Runs a backward pass of the script, and measures it if the step is due. It is called inside ``Faults.guarded``.

        Args:
            roots: The tensors that are differentiated.
            plain: Whether the pass computes all gradients of scalars and nothing else.
            once: Runs the pass.
            retains: Whether the pass keeps the graph for another one.
        """
        if not roots:
            return
        if self.seen.returned and self.lens is not None:
            self.seen.returned = False
            self.lens.skip()  # the gradients measured in this step did not train the model
        self.seen.backward = True
        self.seen.whole |= plain
        self.seen.partial |= not plain
        self.count()
        self.measured(roots, plain, once, None, retains=retains)

    def count(self) -> None:
        """Counts a backward pass, as long as there is no lens to count it."""
        if self.attaching is None:
            from gradlens.tracking.attach.attaching import Attaching

            self.attaching = Attaching(
                self.options,
                self.folder,
                self._passes,
                on_lens=self._made,
                on_changed=self._changed,
                notice=self.notices.say,
                fail=self.faults.fail,
            )
        self.attaching.backward_ran()

    def measured(
        self, roots: list[Tensor], plain: bool, once: RunOnce, taken: Taken | None, *, retains: bool = False
    ) -> None:
        """Finds the labels of a backward pass, and has the lens run and measure it. See ``backward``.

        Args:
            roots: The tensors that are differentiated.
            plain: Whether the pass computes all gradients of scalars and nothing else.
            once: Runs the pass.
            taken: Returns (parameter, gradient) pairs, if the pass leaves none in ``.grad``; or None.
            retains: Whether the pass keeps the graph for another one.

        Raises:
            RuntimeError: The script's hooks pack saved tensors, so the pass cannot be repeated.
        """
        assert self.attaching is not None
        if self.lens is not None and self.watch.of_step is not State.ALL:
            self.lens.measured_backward(roots[0], anchors=[], labels=roots[0], backward=once)
            return
        from gradlens.tracking.find import loss_calls

        if marks.measured(lambda: loss_calls.leaves(roots), self.lens):
            self.notices.say("own", "a model has a lens of its own already, which goes on alone")
            self._left_alone += 1
            if self.lens is None and self._left_alone >= LEFT_ALONE:
                self.stop()
            return
        if self.seen.packed:
            raise RuntimeError(PACKED)
        found = loss_calls.find(roots) if self.seen.loss else []
        if not plain and self.lens is not None:
            self.notices.say("partial", PARTIAL)
        search = self._searching()
        try:
            classes = self.attaching.classes(found)
            evidence = search.evidence(found, roots, classes) if plain else None
            if search.compiled:
                self._compiled()
            self.attaching.attach(roots, evidence)
            if self.lens is not None and self._threads.trains(roots, self.lens.parameters):
                self._measure(roots, evidence, once, taken, retains)
        finally:
            if not retains:
                loss_calls.forget(found)

    def _compiled(self) -> None:
        self.seen.compiled = True
        if self.lens is not None:
            from gradlens.tracking.find.compiled_loss import loss_line

            self.notices.say("compiled", f"a loss counts as 'rest': {loss_line()}")

    def _measure(
        self, roots: list[Tensor], evidence: Evidence | None, once: RunOnce, taken: Taken | None, retains: bool
    ) -> None:
        assert self.lens is not None and self.attaching is not None  # noqa: PT018
        loss, attachment = roots[0] if len(roots) == 1 else sum(roots[1:], roots[0]), self.attaching.attachment
        if evidence is not None:
            if attachment is not None:
                evidence, text = attachment.within(evidence)
                if text is not None:
                    self.notices.say("without data", text)
            self.lens.measured_backward(
                loss,
                anchors=evidence.anchors,
                labels=evidence.labels,
                backward=once,
                ignore_index=evidence.ignore_index,
                class_dim=evidence.class_dim,
                taken=taken,
                labelled=evidence.labelled,
                members=evidence.members,
                retains=retains,
                logits=evidence.logits,
            )
            if attachment is not None and (text := attachment.engine_changed(self.lens)):
                say(text)
        elif taken is None:
            self.lens.rest_backward(loss, backward=once)

    def _made(self, lens: TrackedLens) -> None:
        lens.on_armed(self._changed)
        self._changed()
        self._on_attached()

    def named(self, outputs: Any, labels: Any) -> None:
        """Is called with the arguments of ``gradlens.observe``, and with losses of rows and their labels."""
        if self.watch.whole():
            self._searching().named(outputs, labels)

    def _searching(self) -> LabelSearch:
        if self._label_search is None:
            from gradlens.tracking.watch.label_sources import label_search

            self._label_search = label_search(self, self._passes, self.watch.whole)
        return self._label_search

    def trained_beside(self) -> str | None:
        """Returns the line that says which other models were trained; None if there were none, or after an error."""
        if self.attaching is None or self.faults.failure is not None:
            return None
        try:
            return self.attaching.other_models()
        except Exception as error:  # the run has still to be closed
            self.faults.fail(error)
            return None
