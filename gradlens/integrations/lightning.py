"""``LensCallback`` for Lightning's Trainer: it measures during ``Trainer.fit``.

    trainer = Trainer(callbacks=[LensCallback(groups="head=0-69,tail=70-99", every=10)])

It finds the labels as ``gradlens track`` does: from the cross-entropy in ``training_step``, or from a call of
``gradlens.observe(outputs, labels)``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch.utils._pytree import tree_leaves

from gradlens.groups import ClassGroups
from gradlens.integrations.tracked_fit import TrackedFit, options_of

if TYPE_CHECKING:
    from gradlens.lens import Lens

try:
    from lightning.pytorch import Callback
except ImportError:  # the older name of the same package
    from pytorch_lightning import Callback


class LensCallback(Callback):  # type: ignore[misc]
    """Measures what each group of classes contributes to the gradient, during ``Trainer.fit``.

    Validation metrics are logged as evaluations. In several processes give the callback to each Trainer, as usual. Only the
    first process writes.
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
            out: Folder of the run. The default is runs/lightning, or the next free name.
            every: Measure every N optimizer steps. It excludes ``budget``.
            budget: Measure so often that the added time stays within this fraction of the training time (default 0.05).
            engine: "auto", "masked", "split" or "func".
            layers: Also record every layer.
            update: Also record the optimizer's update.
            strict: Raise internal errors of gradlens. Without it the training continues after one.

        Raises:
            ValueError: ``every`` and ``budget`` are both given, or the groups cannot be read.
        """
        super().__init__()
        options = options_of(groups, out, every, budget, engine=engine, layers=layers, update=update, strict=strict)
        self._fit = TrackedFit(options, "lightning")

    @property
    def run_path(self) -> Path | None:
        """Folder of the run, in the process that writes it; None before training begins and in other processes."""
        return self._fit.run_path

    @property
    def lens(self) -> Lens | None:
        """The lens; None before labels are known and after training."""
        return self._fit.lens

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Begins to measure. Lightning has opened the data loaders before."""
        loaders = trainer.train_dataloader
        # A CombinedLoader holds several loaders; so do lists and dicts.
        self._fit.begin(getattr(loaders, "flattened", None) or tree_leaves(loaders))

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Sets the epoch of the steps that follow to the next one."""
        if self.lens is not None:
            self.lens.epoch = trainer.current_epoch + 1

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Logs the metrics of a validation."""
        if not trainer.sanity_checking:
            self._fit.evaluated({"split": "val", **trainer.callback_metrics})

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Closes the run."""
        self._fit.end()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:  # noqa: ARG002
        """Closes the run of a training that failed."""
        self._fit.end(exception)
