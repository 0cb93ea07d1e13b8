"""TrackedFit: what `gradlens track` does to a script, for one call of a framework's fit."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
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

# Fits that have begun and not ended; of nested ones the newest is measured, and then the one around it again.
_running: list[TrackedFit] = []


@dataclass(eq=False)
class TrackedFit:
    """Measures from ``begin`` to ``end``.

    Attributes:
        options: What is asked for.
        default: Name of the run's folder below runs/ where ``options`` has none.
        run_path: The run's folder, in the process that writes it, once training has begun.
    """

    options: TrackOptions
    default: str
    run_path: Path | None = None
    _tracker: Tracker | None = field(default=None, repr=False)

    @property
    def lens(self) -> Lens | None:
        """The lens; None until the first step, and while labels are counted."""
        return None if self._tracker is None else self._tracker.lens

    def begin(self, loaders: Sequence[Any] = ()) -> None:
        """Starts to look for the training.

        Args:
            loaders: What it reads already.

        Raises:
            ValueError: The run's folder cannot be used.
        """
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
        """Logs the numbers of an evaluation."""
        if self.lens is not None:
            kept = {name: x if isinstance(x, str) else float(x) for name, x in numbers.items() if _is_simple(x)}
            self.lens.evaluation(**kept)

    def end(self, error: BaseException | None = None) -> None:
        """Closes the run; a second call does nothing.

        Args:
            error: What ended the training, if it did not finish.
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
        groups: The groups; or a rule ("head-tail", "shots", "per-class"), or NAME=IDS pairs as on the command line.
        out: Folder of the run.
        every: Measure every so many steps; or
        budget: within this fraction of the training time.
        **others: engine, layers, update, strict.

    Raises:
        ValueError: Both ``every`` and ``budget``, or groups that cannot be read.
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
    """Whether it is a text, or a number (or a tensor of one)."""
    try:
        return isinstance(x, str) or float(x) is not None
    except (TypeError, ValueError, RuntimeError):
        return False
