"""Lens: the object that measures a training from inside its loop. The loop calls ``lens.backward`` for ``loss.backward``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gradlens import marks
from gradlens.analysis.kept_overview import keep_at_close
from gradlens.batch.anchors import row_tensors
from gradlens.batch.loss_scale import SCALE, ScaleListener, warn_that_scale_is_unknown
from gradlens.batch.members import member_ids
from gradlens.batch.rows import dense_labels
from gradlens.distributed import agreement_for, unwrapped
from gradlens.groups import ClassGroups
from gradlens.guards import script_hooks
from gradlens.guards.compiled import keep_buffers
from gradlens.guards.error_text import ending
from gradlens.guards.patches import listen
from gradlens.measure.arguments import cadence_of, check_kinds, counts_of, parts_of
from gradlens.measure.labelled_pass import LabelledPass
from gradlens.measure.probe import probe
from gradlens.measure.recorder import Recorder
from gradlens.measure.stepper import Stepper
from gradlens.metrics.measurement import Measurement
from gradlens.reported.notes import Notes
from gradlens.runlog.writing.start import open_run

T = TypeVar("T")


class Lens(Notes):
    """Measures what each group of classes contributes to the gradient, while the training loop runs as usual.

    It measures the gradient that the backward passes leave in ``.grad``: after accumulation over micro-batches, before
    clipping. Weights, buffers, optimizer and random state are the same as in a training without a lens.

    Attributes:
        run_path: The run's folder; None if no run is written.

    Example:
        >>> import torch
        >>> from gradlens import ClassGroups, Lens
        >>> model = torch.nn.Linear(2, 2)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> x, y = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0, 1])
        >>> with Lens(model, ClassGroups({"head": [0], "tail": [1]}, 2), optimizer=optimizer, every=1) as lens:
        ...     for _ in range(3):
        ...         loss = torch.nn.functional.cross_entropy(model(x), y)
        ...         lens.backward(loss, y)  # loss.backward() plus the measurement
        ...         optimizer.step()
        ...         optimizer.zero_grad()
        >>> lens.last
        Measurement(step 2; samples: head 2, tail 1)
    """

    def __init__(
        self,
        model: nn.Module,
        groups: ClassGroups,
        *,
        out: Path | str | None = None,
        optimizer: torch.optim.Optimizer | None = None,
        every: int | None = None,
        budget: float | None = None,
        engine: str = "auto",
        layers: bool = False,
        update: bool | None = False,
        strict: bool = False,
        class_counts: Sequence[float] | NDArray[Any] | None = None,
        meta: Mapping[str, Any] | None = None,
        resume: bool = False,
        announce: Callable[[str], None] | None = None,
    ) -> None:
        """Starts to measure. The next step is the first that is measured.

        Args:
            model: The model. Its outputs are the anchors, unless ``backward`` names others.
            groups: The groups of classes.
            out: Folder of the run, created here; None = no run is written, see ``last``.
            optimizer: Its ``step`` ends a training step; None = every backward pass is a step.
            every: Measure every so many steps. Give this or ``budget``, not both.
            budget: Measure as often as this fraction of the training time allows (default 0.05).
            engine: "auto", "masked", "split" or "func".
            layers: Also log the numbers of each layer.
            update: Also measure what ``optimizer`` subtracts from the parameters. None: where nothing speaks against it.
            strict: Raise internal errors, instead of a warning after which the training goes on.
            class_counts: [C] training images of each class, for the log.
            meta: Further attributes of ``RunMeta`` (seed, method, dataset, ...).
            resume: Continue the run in ``out`` if there is one.
            announce: Is given the first warning of each kind; by default it becomes a GradlensWarning.

        Raises:
            TypeError: The model, the groups or the optimizer are of another type.
            ValueError: An argument is out of range, ``every`` and ``budget`` are both given, or no parameter has requires_grad.
            RunError: The folder cannot be used.
            TeamError: Other processes train the same model, and it cannot be measured with them.
        """
        check_kinds(model, groups, optimizer, engine)
        cadence, counts = cadence_of(every, budget), counts_of(class_counts, groups)
        self._model, self._groups = unwrapped(model), groups
        agreement = agreement_for(self._model, groups)
        self._stepper = Stepper(
            agreement, self._model, groups, cadence, engine, optimizer, update=update, strict=strict
        )
        layer_names = self._stepper.current.layout.layers if layers else ()
        writer, step = open_run(
            out if agreement.writes else None,
            resume=resume,
            groups=groups.to_json(),
            names=self._stepper.names,
            layer_names=layer_names,
            class_counts=counts,
            engine=self.engine_name,
            engine_reason=self.engine_reason,
            cadence=str(cadence),
            **(meta or {}),
        )
        self.run_path = None if writer is None else writer.path
        self._closed = False
        self._recorder = Recorder(writer, layer_names, announce)
        self._leave = ExitStack()
        try:
            scales = ScaleListener(lambda: self._stepper.armed, warn_that_scale_is_unknown)
            self._leave.callback(listen(SCALE, scales))
            self._leave.callback(script_hooks.hide())
            keep_buffers()
            marks.enter(self)
            self._leave.callback(marks.leave, self)
            self._stepper.start(self._recorder, step)
            marks.catch_up(self)
        except BaseException as error:  # no hook may stay installed, and the run must not stay open
            self.close("failed", f"{type(error).__name__}: {error}")
            raise

    def backward(
        self,
        loss: Tensor | Mapping[str, Tensor],
        labels: Tensor,
        outputs: Tensor | Sequence[Tensor] | None = None,
        *,
        ignore_index: int = -100,
        logits: Tensor | None = None,
        members: Tensor | Sequence[str] | None = None,
        retain_graph: bool = False,
    ) -> None:
        """Does what ``loss.backward()`` does. If the step is to be measured, measures it, too.

        Args:
            loss: A scalar. Or a dict of named components: their sum is differentiated, and the log has vectors for each.
            labels: [B] class ids (or [B, T] for tokens), or [B, C] class masses.
            outputs: The tensors whose rows are the samples. By default the model's outputs since the last backward pass.
            ignore_index: The label of rows that are no samples.
            logits: [B, c] scores of the first c classes, from which loss and accuracy of each group are computed. By default
                the first of ``outputs`` with a column for each class.
            members: [B] or [B, T] values, by id or by name, of the attribute that the groups are made of.
            retain_graph: Keeps the graph for the backward pass of another loss, like torch's argument.

        Raises:
            LabelsError: The labels or members fit no output or hold an unknown id, or the loss does not depend on the outputs.
            TypeError: A loss is no tensor.
            ValueError: There are no components, or one of several is no scalar.
        """
        names, losses = parts_of(loss)
        total = losses[0] if len(losses) == 1 else torch.stack([part.reshape(()) for part in losses]).sum()
        backward = partial(total.backward, retain_graph=True) if retain_graph else total.backward
        if not self.armed:
            self._stepper.plain(backward)
            return
        seen = self._stepper.arming.take_outputs()
        if self._closed:  # by a signal handler, just now
            self._stepper.plain(backward)
            return
        chosen = seen if outputs is None else [outputs] if isinstance(outputs, Tensor) else list(outputs)
        anchors = row_tensors(chosen, dense_labels(labels))
        values = member_ids(members, self._groups)
        labelled = LabelledPass(
            losses, anchors, labels, names, ignore_index, logits=logits, retains=retain_graph, members=values
        )
        self._stepper.measure(labelled, backward)

    @property
    def epoch(self) -> int | None:
        """The epoch that is logged with the next steps, or None. ``epochs`` sets it, and a script may set it."""
        return self._stepper.epoch

    @epoch.setter
    def epoch(self, number: int | None) -> None:
        self._stepper.epoch = number

    @property
    def armed(self) -> bool:
        """Whether the current step is measured."""
        return self._stepper.armed

    @property
    def parameters(self) -> Sequence[Tensor]:
        """The parameters whose gradients are measured."""
        return self._stepper.current.meter.params

    @property
    def last(self) -> Measurement | None:
        """The newest measurement, or None. On a GPU it arrives with the next measured step."""
        return self._recorder.last

    @property
    def step(self) -> int:
        """Number of the current optimizer step, from 0. A training that continues another one may set it."""
        return self._stepper.schedule.step

    @step.setter
    def step(self, number: int) -> None:
        self._stepper.schedule.step = number

    @property
    def engine_name(self) -> str:
        """Name of the engine in use."""
        return self._stepper.current.switch.engine.name

    @property
    def engine_reason(self) -> str:
        """Why this engine is used."""
        return self._stepper.current.switch.reason

    @property
    def overhead(self) -> float | None:
        """Time of measuring as a fraction of the time of training; None before the second step."""
        return self._stepper.schedule.clock.overhead

    def epochs(self, epochs: Iterable[T]) -> Iterator[T]:
        """Yields the items of ``epochs``, and sets ``epoch`` to each item that is a number, or to its index."""
        for number, item in enumerate(epochs):
            self.epoch = item if isinstance(item, int) else number
            yield item

    def probe(
        self, batches: Iterable[Any], groups: ClassGroups | None = None, *, label: str | None = None
    ) -> Measurement:
        """Measures and logs the gradient of the mean cross-entropy over a whole data set, in eval mode.

        With ``update=True``, the result's ``benefit`` says by how much the newest measured step has lowered each group's mean
        loss on this data, to first order.

        Args:
            batches: Yields (inputs, labels); see ``gradlens.probe``, also for the errors.
            groups: Groups of the probe; by default those of the lens.
            label: The probe's name in the log, or None.
        """
        used = groups or self._groups
        with self._stepper.paused():
            moved = self._stepper.update.last
            found = probe(self._model, batches, used, step=self.step, epoch=self.epoch, update=moved)
            self._recorder.probed(found, used, label)
        return found

    def close(self, status: str = "finished", reason: str | None = None) -> None:
        """Ends the run as "finished", "failed" or "interrupted"; as "running", if another lens goes on in it. Once only."""
        if self._closed:
            return
        self._closed = True
        writer = self._recorder.writer
        try:
            with self._leave:
                self._stepper.stop()
        finally:
            if writer is not None:
                writer.update_meta(timings=self._stepper.schedule.clock.timings(), extra={"steps": self.step})
                writer.close(status, reason)
                keep_at_close(writer.path)

    def __enter__(self) -> Self:
        if self._closed:
            raise RuntimeError(
                "this lens was closed and measures nothing more; make a new one (resume=True goes on in its run)"
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(*ending(error))
