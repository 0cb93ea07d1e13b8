"""``LensCallback`` for the Trainer of Transformers: it measures during ``Trainer.train``.

    trainer = Trainer(model, arguments, train_dataset=data, callbacks=[LensCallback(groups="shots", budget=0.05)])

It finds the labels as ``gradlens track`` does: from the cross-entropy inside the model, or from a call of
``gradlens.observe(outputs, labels)``.
"""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from gradlens.integrations.fit_callback import FitCallback


class LensCallback(FitCallback, TrainerCallback):  # type: ignore[misc]
    """Measures what each group of classes contributes to the gradient, during ``Trainer.train``.

    The Trainer's evaluations are logged as evaluations. In several processes only the first one writes.
    """

    framework = "transformers"

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Begins to measure."""
        self.fit.begin()

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Sets the epoch of the steps that follow."""
        if self.lens is not None:
            self.lens.epoch = int(state.epoch or 0)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:  # noqa: ARG002
        """Logs the results of an evaluation."""
        self.fit.evaluated(metrics or {})

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Closes the run."""
        self.fit.end()
