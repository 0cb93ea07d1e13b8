"""Tracker: what the patched functions of torch talk to. It measures what it can, and lets nothing of ours disturb training."""

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
    from gradlens.once import Once
    from gradlens.tracking.attachment import Attachment
    from gradlens.tracking.evidence import Evidence
    from gradlens.tracking.sightings import Found

# Tensors named by gradlens.observe that are kept until a backward pass comes; more are evaluations that nobody differentiates.
OBSERVED = 4


class Tracker:
    """The tracking of one script: it searches for the training, then measures it.

    Attributes:
        options: What was asked for.
        folder: The run's folder.
        lens: The lens, once model, anchor and groups are known.
        attachment: On the way there, once a loss was seen.
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
        self.options = options
        self.folder = folder
        self.lens: Lens | None = None
        self.attachment: Attachment | None = None
        self.seen: set[str] = set()
        self.failure: Exception | None = None
        self._on_attached = on_attached
        self._off = False
        self._busy = False
        self._loader: DataLoader[Any] | None = None
        self._dataset: weakref.ref[Any] | None = None
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

    @property
    def counting(self) -> bool:
        """Whether a backward pass matters now: those of unmeasured steps do where no optimizer ends a step."""
        if self._off or self._busy:
            return False
        return self.lens is None or self.lens.armed or (self.attachment is not None and self.attachment.every_backward)

    def loss_called(self, function: str, logits: Any, labels: Any, ignore_index: Any, output: Any) -> None:
        """Notes a loss call of the forward pass, while ``watching``."""
        try:
            from gradlens.tracking.sightings import Sighting, attach, is_trained

            if is_trained(logits, labels, output):
                attach(Sighting(logits, labels, int(ignore_index), function), output)
                self.seen.add("loss")
        except Exception as error:
            self.fail(error)

    def pass_started(self, loader: DataLoader[Any]) -> None:
        """Notes that the script begins to read a DataLoader, unless it does so only to evaluate."""
        import torch

        if self._off or self._busy or not torch.is_grad_enabled():
            return
        try:
            self._pass_started(loader)
        except Exception as error:
            self.fail(error)

    def backward(self, roots: list[Tensor], plain: bool, call: Callable[[], None]) -> None:
        """Runs a backward pass of the script, and measures it if it is one to be measured; called while ``counting``.

        Args:
            roots: The tensors that are differentiated.
            plain: Whether nothing is asked for but the gradients of scalars.
            call: The backward pass itself; runs exactly once.
        """
        from gradlens.once import Once

        once = Once(call)
        self._busy = True
        try:
            try:
                self._backward(roots, plain, once)
            except Exception as error:
                if once.error is None:
                    self.fail(error)
            if not once.ran:
                once()
            elif once.error is not None:
                raise once.error
        finally:
            self._busy = False

    def fail(self, error: Exception) -> None:
        """Takes an error of gradlens: training goes on without it, or ends if the user wants that.

        Raises:
            Exception: ``error``, where tracking is strict.
        """
        from gradlens.rows import LabelsError

        self.failure = self.failure or error
        text = f"{type(error).__name__}: {error}"
        if self.options.strict:
            self.stop()
            raise error
        if isinstance(error, LabelsError):
            self._notice("labels", f"a step was not measured: {error}")
            return
        self.stop()
        self._notice("internal-error", f"training goes on without being measured (--strict would stop it): {text}")

    def _backward(self, roots: list[Tensor], plain: bool, once: Once) -> None:
        from gradlens import active
        from gradlens.tracking import sightings

        self.seen.add("backward")
        if self.lens is None and active.present():
            self._notice("own", "the script has a lens of its own; `gradlens track` leaves the training to it")
            self.stop()
            return
        if self.lens is not None and not self.lens.armed:
            self.lens.measured_backward(roots[0], anchors=[], labels=roots[0], backward=once)
            return
        found = sightings.find(roots) if "loss" in self.seen else []
        try:
            evidence = self._evidence(found, roots)
            if self.lens is None and evidence is not None and plain:
                self._attach(roots, evidence)
            if self.lens is not None:
                self._measure(roots, evidence if plain else None, once)
        finally:
            sightings.forget(found)
            self._observed.clear()

    def _evidence(self, found: list[Found], roots: list[Tensor]) -> Evidence | None:
        from gradlens.tracking.evidence import observed, weigh

        classes = None if self.attachment is None else self.attachment.search.num_classes
        if self._observed:
            return observed(self._observed, classes)
        evidence = weigh(found, roots, classes)
        if evidence is not None and evidence.left_out:
            self._notice(
                "left out", f"loss calls with other labels count as 'rest' ({evidence.left_out} beside the measured)"
            )
        return evidence

    def _attach(self, roots: list[Tensor], evidence: Evidence) -> None:
        from gradlens.tracking.attachment import Attachment

        if self.attachment is None:
            loader, self._loader = self._loader, None
            self.attachment = Attachment(self.options, self.folder, roots, evidence, loader)
            self._dataset = _reference(loader)
        self.lens = self.attachment.lens(evidence, self._passes, self._on_attached)

    def _measure(self, roots: list[Tensor], evidence: Evidence | None, once: Once) -> None:
        assert self.lens is not None
        loss = roots[0] if len(roots) == 1 else sum(roots[1:], roots[0])
        if evidence is None:
            self.lens.rest_backward(loss, backward=once)
            return
        self.lens.measured_backward(
            loss,
            anchors=evidence.anchors,
            labels=evidence.labels,
            backward=once,
            ignore_index=evidence.ignore_index,
        )

    def _pass_started(self, loader: DataLoader[Any]) -> None:
        if self.attachment is None:
            # The last loader before the first backward pass is the one that trains.
            self._loader = loader
            self._passes = 1
        elif self._dataset is not None and self._dataset() is loader.dataset:
            # Many scripts make a new loader for each epoch; the data stay.
            self._passes += 1
            if self.lens is not None:
                self.lens.epoch = self._passes - 1

    def _named(self, outputs: Any, labels: Any) -> None:
        """Takes what the script names with ``gradlens.observe``."""
        from torch import Tensor

        if not self.watching:
            return
        if not isinstance(outputs, Tensor) or not isinstance(labels, Tensor):
            kinds = f"{type(outputs).__name__} and {type(labels).__name__}"
            self.fail(
                TypeError(f"gradlens.observe got {kinds}; give tensors: outputs [batch, classes] and labels [batch]")
            )
        elif outputs.requires_grad:
            self._observed = [*self._observed[1 - OBSERVED :], (outputs, labels)]

    def _notice(self, kind: str, text: str) -> None:
        """Says something once, here and in the log."""
        if kind in self._noticed:
            return
        self._noticed.add(kind)
        say(text)
        if self.lens is not None:
            self.lens.event(kind, message=text)


def _reference(loader: DataLoader[Any] | None) -> weakref.ref[Any] | None:
    try:
        return None if loader is None else weakref.ref(loader.dataset)
    except TypeError:  # a list, say, takes no weak references
        return None
