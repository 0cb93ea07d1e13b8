"""``LensCallback`` for the Trainer of Transformers: it measures during ``Trainer.train``.

    trainer = Trainer(model, arguments, train_dataset=data, callbacks=[LensCallback(groups="shots", budget=0.05)])

It finds the labels as ``gradlens track`` does: from the cross-entropy inside the model, or from a call of
``gradlens.observe(outputs, labels)``.
"""

from __future__ import annotations

import sys
from functools import partial
from types import FrameType
from typing import Any

from transformers import Trainer, TrainerCallback

from gradlens.integrations.fit_callback import FitCallback


class LensCallback(FitCallback, TrainerCallback):  # type: ignore[misc]
    """Measures what each group of classes contributes to the gradient, during ``Trainer.train``.

    The Trainer's evaluations are logged as evaluations. In several processes only the first one writes.
    """

    framework = "transformers"

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Begins to measure."""
        self.fit.begin(still_runs=partial(_trains_with, self))

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


def _trains_with(callback: TrainerCallback) -> bool:
    """Says whether a Trainer with this callback is training now: its ``train`` runs in some thread.

    The Trainer has no event for a training that has failed.
    """
    for top in sys._current_frames().values():
        frame: FrameType | None = top
        while frame is not None:
            if frame.f_code.co_name == "train":
                trainer = frame.f_locals.get("self")
                if isinstance(trainer, Trainer) and any(one is callback for one in trainer.callback_handler.callbacks):
                    return True
            frame = frame.f_back
    return False
