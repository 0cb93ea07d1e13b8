"""``FitCallback``: what the callbacks of all frameworks share, their arguments and what they tell of the run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from gradlens.groups import ClassGroups
from gradlens.integrations.tracked_fit import TrackedFit, options_of

if TYPE_CHECKING:
    from gradlens.lens import Lens


class FitCallback:
    """Measures what each group of classes contributes to the gradient, during a framework's fit.

    A framework's ``LensCallback`` inherits this class and the framework's own, in this order. It calls ``fit``.

    Attributes:
        framework: Name of the framework. The run's folder is runs/NAME by default.
        fit: Measures the training from its beginning to its end.
    """

    framework: ClassVar[str]

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
            groups: The groups; or a rule ("head-tail", which is the default, "shots", "frequency" or "per-class"); or NAME=IDS
                pairs.
            out: Folder of the run. The default is runs/ and the name of the framework, or the next free name.
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
        self.fit = TrackedFit(options, self.framework)

    @property
    def run_path(self) -> Path | None:
        """Folder of the run, in the process that writes it; None before training begins and in other processes."""
        return self.fit.run_path

    @property
    def lens(self) -> Lens | None:
        """The lens; None before labels are known and after training."""
        return self.fit.lens
