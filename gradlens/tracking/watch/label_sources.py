"""Makes the search for labels of a tracker, with all the sources that it may look at."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gradlens.tracking.find.batch_path import parse_path
from gradlens.tracking.find.labels import LabelSearch
from gradlens.tracking.members.member_search import MemberSearch
from gradlens.tracking.members.member_values import MemberValues
from gradlens.tracking.provenance.chosen import ChosenLabels
from gradlens.tracking.provenance.from_loss import LabelsOfLosses

if TYPE_CHECKING:
    from gradlens.tracking.find.passes import DataPasses
    from gradlens.tracking.watch.tracker import Tracker


def label_search(tracker: Tracker, passes: DataPasses, wanted: Callable[[], bool]) -> LabelSearch:
    """Returns the search.

    Args:
        tracker: Has the options and what the loaders yield, and says what the user is told.
        passes: Knows the loaders and the samples that were drawn from them.
        wanted: Says whether the forward pass is looked at now.
    """
    assert tracker.batches is not None
    say, fail, options = tracker.notices.say, tracker.faults.fail, tracker.options
    given = LabelsOfLosses(tracker.batches, lambda: passes.candidates, say, wanted, fail)
    chosen = None
    if options.labels is not None or options.anchor is not None:
        place = None if options.labels is None else parse_path(options.labels, "--labels")
        chosen = ChosenLabels(place, options.anchor, tracker.batches, wanted, fail)
        tracker.leaves.append(chosen.stop)
    if options.members is None:
        return LabelSearch(say, wanted, fail, given, chosen)
    values = MemberValues(options, tracker.batches.latest, fail)
    tracker.leaves.append(values.stop)
    return MemberSearch(values, say, wanted, fail, given, chosen)
