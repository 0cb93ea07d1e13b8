"""``TrackedFit``: does for one call of a framework's ``fit`` what `gradlens track` does for a script."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch.utils.data import DataLoader

from gradlens.groups import ClassGroups
from gradlens.tracking import observe
from gradlens.tracking.errors import TrackError, WrongUse
from gradlens.tracking.launch.run_folder import make_folder, remove_if_empty
from gradlens.tracking.messages import say
from gradlens.tracking.options import TrackOptions

if TYPE_CHECKING:
    from gradlens.lens import Lens
    from gradlens.tracking.watch.tracker import Tracker

# Why a fit is closed whose end was never reported.
UNREPORTED = "another training began, and nobody had reported the end of this one"
# The fits that run now. If one runs inside another, the inner one is measured; after it ends, the outer one again.
_running: list[TrackedFit] = []


@dataclass(eq=False)
class TrackedFit:
    """Measures one training from ``begin`` to ``end``.

    Attributes:
        options: The options of the tracking.
        default: Name of the run's folder below runs/ if ``options`` names none.
        run_path: Folder of the run, in the process that writes it; None before training begins and in other processes.
    """

    options: TrackOptions
    default: str
    run_path: Path | None = None
    _tracker: Tracker | None = field(default=None, repr=False)
    _still_runs: Callable[[], bool] = field(default=lambda: True, repr=False)

    @property
    def lens(self) -> Lens | None:
        """The lens; None until the first step, and while labels are counted."""
        return None if self._tracker is None else self._tracker.lens

    def begin(self, loaders: Sequence[Any] = (), still_runs: Callable[[], bool] = lambda: True) -> None:
        """Starts to watch the training.

        A training whose end was never reported has failed: some frameworks have no event for that. Its run is closed first,
        unless the new training runs inside it.
        If `gradlens track` already tracks it, this does nothing but print a message.

        Args:
            loaders: Data loaders that are open already.
            still_runs: Says whether the training has not ended. For a framework that does not report every end.

        Raises:
            ValueError: The run's folder cannot be used.
        """
        for fit in tuple(_running):
            if fit is self or not fit._still_runs():
                fit.end(RuntimeError(UNREPORTED))
        self._still_runs = still_runs
        if observe.listening() and not _running:
            say("this training is tracked already; the callback leaves it to `gradlens track`")
            return
        from gradlens.tracking.watch.tracker import Tracker

        rank = int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")))
        options = replace(self.options, follows=rank > 0)
        try:
            folder = Path(self.default) if rank else make_folder(options.out, options.name, self.default)
        except TrackError as error:
            raise ValueError(str(error)) from error
        self.run_path = None if rank else folder
        self._tracker = Tracker(options, folder, lambda: None)
        _running.append(self)
        self._tracker.start()
        for loader in loaders:
            if isinstance(loader, DataLoader):
                self._tracker.opened(loader)

    def evaluated(self, numbers: Mapping[str, Any]) -> None:
        """Logs the numbers and texts of an evaluation. Other values are left out."""
        if self.lens is not None:
            kept = {name: x if isinstance(x, str) else float(x) for name, x in numbers.items() if _is_simple(x)}
            self.lens.evaluation(**kept)

    def end(self, error: BaseException | None = None) -> None:
        """Closes the run. A second call does nothing.

        Args:
            error: The exception that ended the training; None if it finished.
        """
        tracker, self._tracker = self._tracker, None
        if tracker is None:
            return
        tracker.stop()
        _running.remove(self)
        if tracker.lens is None:
            if not tracker.options.follows:
                remove_if_empty(tracker.folder)
                self.run_path = None
                from gradlens.tracking.launch.ending import why_nothing

                say(why_nothing(tracker, "finished" if error is None else "failed"))
        elif error is None:
            tracker.lens.close()
        elif isinstance(error, KeyboardInterrupt):
            tracker.lens.close("interrupted", "KeyboardInterrupt")
        else:
            reason = str(error) if isinstance(error, WrongUse) else f"{type(error).__name__}: {error}"
            tracker.lens.close("failed", reason)


def options_of(
    groups: ClassGroups | str | None,
    out: Path | str | None,
    every: int | None,
    budget: float | None,
    **others: Any,
) -> TrackOptions:
    """Returns the options that a callback's arguments stand for.

    Args:
        groups: The groups; or a rule ("head-tail", "shots", "frequency" or "per-class"); or NAME=IDS pairs as on the command
            line.
        out: Folder of the run.
        every: Measure every N optimizer steps. It excludes ``budget``.
        budget: Measure so often that the added time stays within this fraction of the training time.
        **others: ``engine``, ``layers``, ``update`` and ``strict``.

    Raises:
        ValueError: ``every`` and ``budget`` are both given, or the groups cannot be read.
    """
    if every is not None and budget is not None:
        raise ValueError(f"every={every} and budget={budget} exclude each other; give one")
    if isinstance(groups, str):
        from gradlens.tracking.options import check_groups

        try:
            check_groups(groups)
        except TrackError as error:
            raise ValueError(str(error).replace("--groups", "groups")) from error
    given = isinstance(groups, ClassGroups)
    return TrackOptions(
        groups=groups if isinstance(groups, str) else None,
        groups_from=groups.to_json() if isinstance(groups, ClassGroups) else None,
        groups_source=Path("the callback") if given else None,
        every=every,
        budget=TrackOptions.budget if budget is None else budget,
        out=None if out is None else Path(out),
        **others,
    )


def _is_simple(x: Any) -> bool:
    """Says whether a value is a text, a number, or a tensor with one number."""
    try:
        return isinstance(x, str) or float(x) is not None
    except (TypeError, ValueError, RuntimeError):
        return False
