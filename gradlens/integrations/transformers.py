"""LensCallback for the Trainer of Transformers.

    trainer = Trainer(model, arguments, train_dataset=data, callbacks=[LensCallback(groups="shots", budget=0.05)])

It finds the labels as ``gradlens track`` does: at the cross-entropy inside of the model, or where
``gradlens.observe(outputs, labels)`` names them.
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

    Results of evaluations are logged as such. In several processes the first one writes.
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
        """Prepares; nothing is written before training starts.

        Args:
            groups: The groups; or a rule ("head-tail", the default, "shots", "per-class"), or NAME=IDS pairs.
            out: Folder of the run; by default runs/transformers, the next free one.
            every: Measure every so many optimizer steps; or
            budget: as often as keeps the added time within this fraction of training time (default 0.05).
            engine: "auto", "masked", "split" or "func".
            layers: Also log every layer by itself.
            update: Also measure what the optimizer takes off the parameters.
            strict: Raise internal errors instead of training on.

        Raises:
            ValueError: Both ``every`` and ``budget``, or groups that cannot be read.
        """
        options = options_of(groups, out, every, budget, engine=engine, layers=layers, update=update, strict=strict)
        self._fit = TrackedFit(options, "transformers")

    @property
    def run_path(self) -> Path | None:
        """The run's folder, once training has begun, in the process that writes it."""
        return self._fit.run_path

    @property
    def lens(self) -> Lens | None:
        """The lens, while training runs and labels are known."""
        return self._fit.lens

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Begins to measure."""
        self._fit.begin()

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """The steps that follow belong to this epoch."""
        if self.lens is not None:
            self.lens.epoch = int(state.epoch or 0)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:  # noqa: ARG002
        """Logs the results of an evaluation."""
        self._fit.evaluated(metrics or {})

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Closes the run."""
        self._fit.end()
