"""``LensCallback`` for the Trainer of Transformers: it measures during ``Trainer.train``.

    trainer = Trainer(model, arguments, train_dataset=data, callbacks=[LensCallback(groups="shots", budget=0.05)])

It finds the labels as ``gradlens track`` does: from the cross-entropy inside the model, or from a call of
``gradlens.observe(outputs, labels)``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from gradlens.groups import ClassGroups
from gradlens.integrations.tracked_fit import TrackedFit, options_of

if TYPE_CHECKING:
    from gradlens.lens import Lens


class LensCallback(TrainerCallback):  # type: ignore[misc]
    """Measures what each group of classes contributes to the gradient, during ``Trainer.train``.

    The Trainer's evaluations are logged as evaluations. In several processes only the first one writes.
    """

    def __init__(
        self,
        groups: ClassGroups | str | None = None,
        *,
        out: Path | str | None = None,
        every: int | None = None,
        budget: float | None = None,
        engine: str = "auto",
        layers: bool = False,
        update: bool = False,
        strict: bool = False,
    ) -> None:
        """Prepares the callback. Nothing is written before training starts.

        Args:
            groups: The groups; or a rule ("head-tail", which is the default, "shots" or "per-class"); or NAME=IDS pairs.
            out: Folder of the run. The default is runs/transformers, or the next free name.
            every: Measure every N optimizer steps. It excludes ``budget``.
            budget: Measure so often that the added time stays within this fraction of the training time (default 0.05).
            engine: "auto", "masked", "split" or "func".
            layers: Also record every layer.
            update: Also record the optimizer's update.
            strict: Raise internal errors of gradlens. Without it the training continues after one.

        Raises:
            ValueError: ``every`` and ``budget`` are both given, or the groups cannot be read.
        """
        options = options_of(groups, out, every, budget, engine=engine, layers=layers, update=update, strict=strict)
        self._fit = TrackedFit(options, "transformers")

    @property
    def run_path(self) -> Path | None:
        """Folder of the run, in the process that writes it; None before training begins and in other processes."""
        return self._fit.run_path

    @property
    def lens(self) -> Lens | None:
        """The lens; None before labels are known and after training."""
        return self._fit.lens

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Begins to measure."""
        self._fit.begin()

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Sets the epoch of the steps that follow."""
        if self.lens is not None:
            self.lens.epoch = int(state.epoch or 0)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:  # noqa: ARG002
        """Logs the results of an evaluation."""
        self._fit.evaluated(metrics or {})

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Closes the run."""
        self._fit.end()
