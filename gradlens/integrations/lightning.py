"""``LensCallback`` for Lightning's Trainer: it measures during ``Trainer.fit``.

    trainer = Trainer(callbacks=[LensCallback(groups="head=0-69,tail=70-99", every=10)])

It finds the labels as ``gradlens track`` does: from the cross-entropy in ``training_step``, or from a call of
``gradlens.observe(outputs, labels)``.
"""

from __future__ import annotations

from typing import Any

from torch.utils._pytree import tree_leaves

from gradlens.integrations.fit_callback import FitCallback

try:
    from lightning.pytorch import Callback
except ImportError:  # the older name of the same package
    from pytorch_lightning import Callback


class LensCallback(FitCallback, Callback):  # type: ignore[misc]
    """Measures what each group of classes contributes to the gradient, during ``Trainer.fit``.

    Validation metrics are logged as evaluations. In several processes give the callback to each Trainer, as usual. Only the
    first process writes.
    """

    framework = "lightning"

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Begins to measure. Lightning has opened the data loaders before."""
        loaders = trainer.train_dataloader
        # A CombinedLoader holds several loaders; so do lists and dicts.
        self.fit.begin(getattr(loaders, "flattened", None) or tree_leaves(loaders))

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Sets the epoch of the steps that follow to the next one."""
        if self.lens is not None:
            self.lens.epoch = trainer.current_epoch + 1

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Logs the metrics of a validation."""
        if not trainer.sanity_checking:
            self.fit.evaluated({"split": "val", **trainer.callback_metrics})

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Closes the run."""
        self.fit.end()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:  # noqa: ARG002
        """Closes the run of a training that failed."""
        self.fit.end(exception)
