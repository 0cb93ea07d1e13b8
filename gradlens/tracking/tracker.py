"""Tracker: watches the training of a script, attaches a lens to it and sees that nothing of ours disturbs it."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradlens.tracking import observe
from gradlens.tracking.messages import say
from gradlens.tracking.options import TrackOptions

if TYPE_CHECKING:
    from torch import Tensor
    from torch.utils.data import DataLoader

    from gradlens.lens import Lens
    from gradlens.tracking.evidence import Evidence
    from gradlens.tracking.group_search import GroupSearch

# Tensors named by gradlens.observe that are kept until a backward pass comes; more are evaluations that nobody differentiates.
OBSERVED = 4


class Tracker:
    """The state of tracking one script: it searches for the training, then measures it.

    Attributes:
        lens: The lens, once model, anchor and groups are known.
        search: The search for groups, once a loss was seen.
        seen: What was seen so far: "torch", "backward", "loss".
        failure: The first error of gradlens itself.
    """

    def __init__(self, options: TrackOptions, folder: Path, on_attached: Callable[[], None]) -> None:
        """Prepares; nothing happens before ``start``.

        Args:
            options: What was asked for.
            folder: The run's folder.
            on_attached: Called when the lens has been made.
        """
        self._on_attached = on_attached
        self.lens: Lens | None = None
        self.search: GroupSearch | None = None
        self.seen: set[str] = set()
        self.failure: Exception | None = None
        self.options = options
        self.folder = folder
        self._off = False
        self._busy = False
        self._loader: weakref.ref[DataLoader[Any]] | None = None
        self._passes = 0
        self._observed: list[tuple[Tensor, Tensor]] = []
        self._noticed: set[str] = set()

    def start(self) -> None:
        """Patches torch; called when it has just been imported."""
        from gradlens.tracking.patches import install

        self.seen.add("torch")
        install(self)
        observe.listen(self._named)
        # Workers and other forked children train nothing that could be written to this run.
        os.register_at_fork(after_in_child=self.stop)

    def stop(self) -> None:
        """Stops for good; the patched functions do nothing from here on."""
        self._off = True
        self._observed.clear()
        observe.listen(None)

    @property
    def watching(self) -> bool:
        """Whether a loss call matters now: False on steps that are not measured."""
        return not self._off and not self._busy and (self.lens is None or self.lens.armed)

    def loss_called(self, function: str, logits: Any, labels: Any, ignore_index: Any, output: Any) -> None:
        """Notes a loss call of the forward pass, while ``watching``."""
        from gradlens.tracking.sightings import Sighting, attach, is_trained

        try:
            if is_trained(logits, labels, output):
                attach(Sighting(logits, labels, int(ignore_index), function), output)
                self.seen.add("loss")
        except Exception as error:
            self.fail(error)

    def pass_started(self, loader: DataLoader[Any]) -> None:
        """Notes that the script begins to read a DataLoader."""
        if self._off or self._busy:
            return
        if self.search is None:
            # The last loader before the first backward pass is the one that trains.
            self._loader = weakref.ref(loader)
            self._passes = 1
        elif self._loader is not None and self._loader() is loader:
            self._passes += 1
            if self.lens is not None:
                self.lens.epoch = self._passes - 1

    def backward(self, roots: list[Tensor], plain: bool, call: Callable[[], None]) -> None:
        """Runs a backward pass of the script, and measures it if it is one to be measured.

        Args:
            roots: The tensors that are differentiated.
            plain: Whether nothing is asked for but the gradients of scalars.
            call: The backward pass itself; runs exactly once.
        """
        if not self.watching:
            call()
            return
        once = _Once(call)
        self._busy = True
        try:
            try:
                self._backward(roots, plain, once)
            except Exception as error:
                if not once.failed:
                    self.fail(error)
            once.ensure()
        finally:
            self._busy = False

    def fail(self, error: Exception) -> None:
        """Takes an error of gradlens: training goes on without it, or ends if the user wants that.

        Raises:
            Exception: ``error``, where tracking is strict.
        """
        from gradlens.rows import LabelsError

        first = self.failure is None
        self.failure = self.failure or error
        text = f"{type(error).__name__}: {error}"
        if self.options.strict:
            self.stop()
            raise error
        if isinstance(error, LabelsError):
            self._notice("labels", f"a step was not measured: {error}")
            return
        self.stop()
        if first:
            say(f"internal error, training goes on without being measured (--strict stops instead): {text}")
        if self.lens is not None:
            self.lens.event("internal-error", message=text)

    def _backward(self, roots: list[Tensor], plain: bool, once: _Once) -> None:
        from gradlens import active
        from gradlens.tracking import sightings

        self.seen.add("backward")
        if self.lens is None and active.present():
            self._notice("own", "the script has a lens of its own; `gradlens track` leaves the training to it")
            self.stop()
            return
        found = sightings.find(roots) if "loss" in self.seen else []
        try:
            evidence = self._evidence(found, roots)
            if evidence is None:
                return
            if not plain:
                self._notice("plain", "backward passes with gradient=, inputs= or create_graph=True are not measured")
                return
            if self.lens is None and not self._attach(roots, evidence):
                return
            self._measure(roots, evidence, once)
        finally:
            sightings.forget(found)
            self._observed.clear()

    def _evidence(self, found: list[Any], roots: list[Tensor]) -> Evidence | None:
        from gradlens.tracking.evidence import Evidence, weigh

        classes = None if self.search is None else self.search.num_classes
        if self._observed:
            outputs = [outputs for outputs, _ in self._observed]
            labels = self._observed[-1][1]
            shape = outputs[-1].shape
            observed = classes or int(shape[1] if len(shape) > 1 else shape[0])
            return Evidence(outputs, labels, -100, observed, "gradlens.observe")
        evidence = weigh(found, roots, classes)
        if evidence is not None and evidence.left_out:
            self._notice("left out", f"{evidence.left_out} loss calls with other labels count as 'rest'")
        return evidence

    def _attach(self, roots: list[Tensor], evidence: Evidence) -> bool:
        """Creates the lens if everything is known; says whether it can measure this backward pass already."""
        from gradlens.tracking.attach import attach
        from gradlens.tracking.group_search import GroupSearch

        loader = None if self._loader is None else self._loader()
        if self.search is None:
            self.search = GroupSearch(self.options, evidence.num_classes, loader, evidence.labels)
        groups = self.search.offer(evidence.labels, pass_over=self._passes > 1)
        if groups is None:
            return False
        self.lens = attach(self.options, self.folder, groups, self.search.counts, roots, evidence)
        self._on_attached()
        self.lens.epoch = max(self._passes - 1, 0)
        # The other engines need to see the forward pass, which is over.
        return bool(self.lens.armed and self.lens.engine_name == "masked")

    def _measure(self, roots: list[Tensor], evidence: Evidence, once: _Once) -> None:
        assert self.lens is not None
        loss = roots[0] if len(roots) == 1 else sum(roots[1:], roots[0])
        self.lens.measured_backward(
            loss,
            anchors=evidence.anchors,
            labels=evidence.labels,
            backward=once,
            ignore_index=evidence.ignore_index,
        )

    def _named(self, outputs: Tensor, labels: Tensor) -> None:
        """Takes what the script names with ``gradlens.observe``."""
        if self.watching and outputs.requires_grad:
            self._observed = [*self._observed[1 - OBSERVED :], (outputs, labels)]

    def _notice(self, key: str, text: str) -> None:
        if key not in self._noticed:
            self._noticed.add(key)
            say(text)
            if self.lens is not None:
                self.lens.event("notice", message=text)


class _Once:
    """A backward pass that runs exactly once, whoever calls it."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._ran = False
        self._error: BaseException | None = None

    def __call__(self) -> None:
        self._ran = True
        try:
            self._call()
        except BaseException as error:
            self._error = error
            raise

    @property
    def failed(self) -> bool:
        """Whether it ran and raised: an error of the script, then."""
        return self._error is not None

    def ensure(self) -> None:
        """Runs it unless it has run; raises what it raised, if that was caught on the way."""
        if not self._ran:
            self()
        elif self._error is not None:
            raise self._error
