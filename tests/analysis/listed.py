"""Runs of a list, made without files."""

import math

from gradlens.analysis.row import Headline, Overview
from gradlens.analysis.run_query import ListedRun
from gradlens.estimation.interval import Interval
from gradlens.runlog.format.card import Card


def listed(
    name, *, accuracy=math.nan, method="ce", seed=None, distortion=0.1, settings=(), card=None, state="finished"
):
    none = Interval.none(math.nan, 0)
    head = Headline(Interval.none(distortion, 100), "", none, False, "head (70), tail (30)", "")
    row = Overview(
        state=state, reason="", method=method, dataset="digits", steps=1000, measured=100, engine="split", headline=head,
        accuracy=accuracy, sparks=(), started=0.0, cadence="every 10 steps", incomplete=(), nonfinite="", without_output="",
        unproven="", grouping="g", phases=0, by_class=False, seed=seed, settings=settings,
    )  # fmt: skip
    return ListedRun(name, row, card or Card())
