"""Distortion over training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Unpack

import numpy as np
from numpy.typing import NDArray

from gradlens.figures._axis import add_events, axis_of
from gradlens.figures._curves import NO_STEPS
from gradlens.figures._describe import subtitle
from gradlens.figures._lines import Line, Options, View, add_lines, apart, robust_range, smoothing_text
from gradlens.figures._sheet import Sheet, drawing
from gradlens.figures._theme import FigureError, Style, cycle, dress, note
from gradlens.gram import Floats, distortion
from gradlens.quantities import filled_share
from gradlens.smoothing import running_mean

if TYPE_CHECKING:
    from gradlens.runlog import Run


@dataclass(frozen=True)
class DistortionLine(Line):
    """Distortion: the faint line is that of single steps, the strong one that of averaged shares.

    Attributes:
        shares: Each group's [T] shares, 0 where it had no sample.
        fractions: [K] the groups' fractions of the classes.
    """

    shares: tuple[Floats, ...] = ()
    fractions: Floats = field(default_factory=lambda: np.empty(0))

    def part(self, rows: slice) -> DistortionLine:
        """Returns the line of some rows only."""
        shares = tuple(share[rows] for share in self.shares)
        return replace(self, values=self.values[rows], shares=shares, breaks=self.breaks_in(rows), kept={})

    def shortened(self, starts: NDArray[np.intp]) -> DistortionLine:
        """Returns the line of the shares' means over the stretches that begin at the given rows."""
        shares = tuple(Line("", share, self.style).shortened(starts).values for share in self.shares)
        values = distortion(np.stack(shares, axis=-1), self.fractions)
        return replace(self, values=values, shares=shares, breaks=(), kept={})

    def smoothed(self, window: int) -> Floats:
        """Returns [T] the distortion of the shares' running means."""
        return distortion(np.stack([running_mean(share, window) for share in self.shares], axis=-1), self.fractions)


@drawing
def distortion_curves(runs: Sequence[Run], **options: Unpack[Options]) -> Sheet:
    """Draws the distortion of runs over each other.

    The strong line is the distortion of the shares' running means, as ``gradlens.distortion`` is of their mean over a run: the
    chance of single batches, whose own distortion is drawn faint, does not count. Where one of the runs has phases, they are
    shaded.

    Raises:
        FigureError: No run, or an axis that one of them does not have.
    """
    view = View.of(options)
    if not runs:
        raise FigureError("no run to draw; give at least one")
    sheet = Sheet()
    lines = [line for i, run in enumerate(runs) for line in apart(run, [_line(run, cycle(i, view.theme), str(i))])]
    axes = [axis_of(run, view.x) for run in runs]
    for axis, line in zip(axes, lines, strict=True):
        add_lines(sheet, axis, [line], view, legend=True)
    title = "How far is the update from serving all classes alike? Distortion"
    about = "half the distance between shares of the update and of the classes, 0 = none"
    dress(sheet, view.theme, title, subtitle(about, smoothing_text(view, *runs)))
    alone = len(runs) == 1
    phased = [i for i, run in enumerate(runs) if len(run.phases) > 1]
    banded = 0 if alone else phased[0] if len(phased) == 1 else None
    if banded is not None:
        of = "" if alone else runs[banded].name
        add_events(sheet, runs[banded], axes[banded], view.theme, [(1, 1)], of=of)
    sheet.update_layout(showlegend=True)
    sheet.update_xaxes(title={"text": axes[0].title})
    sheet.update_yaxes(
        title={"text": "distortion"}, range=robust_range(lines, view, headroom=banded is not None and bool(phased))
    )
    return sheet if any(map(len, runs)) else note(sheet, view.theme, NO_STEPS)


def _line(run: Run, style: Style, key: str) -> DistortionLine:
    shares = tuple(filled_share(run, name) for name in run.groups.names)
    fractions = run.groups.fractions()
    return DistortionLine(run.name, run.distortion(), style, format=".3f", key=key, fractions=fractions, shares=shares)
