"""The curve of the distortion over training, for one or more runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Unpack

import numpy as np
from numpy.typing import NDArray

from gradlens.analysis.headline import groups_differ
from gradlens.analysis.quantities import filled_share
from gradlens.estimation.noisy_distance import FOLDED, corrected, step_variances
from gradlens.estimation.smoothing import running_mean
from gradlens.figures._axis import Axis, add_events, axis_of, horizontal
from gradlens.figures._common_window import common_range, common_text, common_views
from gradlens.figures._curves import NO_STEPS
from gradlens.figures._describe import run_keys, subtitle
from gradlens.figures._lines import Line, Options, View, add_lines, apart
from gradlens.figures._names import Style, run_style
from gradlens.figures._sheet import Sheet, drawing, scatter
from gradlens.figures._theme import FigureError, dress, legend_of, note, safe
from gradlens.metrics.catalogue import QUANTITIES
from gradlens.metrics.gram import Floats

if TYPE_CHECKING:
    from gradlens.runlog import Run

# The line of the noise level has at most this many points.
MOST_BENDS = 500


@dataclass(frozen=True)
class DistortionLine(Line):
    """The distortion of a run as a line.

    The faint line shows single steps. The strong line is the distortion of the mean shares, without the part that noise
    adds.

    Attributes:
        shares: [T] shares of the update of each group, 0 where the group had no sample.
        fractions: [K] the groups' fractions of the classes.
        noise: [T] for each group: the variance of the mean of its share over n steps, times n. It is constant in a phase.
        each: Measured steps behind each value.
    """

    shares: tuple[Floats, ...] = ()
    fractions: Floats = field(default_factory=lambda: np.empty(0))
    noise: tuple[Floats, ...] = ()
    each: int = 1

    def part(self, rows: slice) -> DistortionLine:
        """Returns the part of the line in the given rows."""
        shares, noise = (tuple(of[rows] for of in columns) for columns in (self.shares, self.noise))
        return replace(self, values=self.values[rows], shares=shares, noise=noise, breaks=self.breaks_in(rows), kept={})

    def shortened(self, starts: NDArray[np.intp]) -> DistortionLine:
        """Returns a shorter line: its shares are means over bins.

        Args:
            starts: [n] first rows of the bins.
        """
        shares, noise = (
            tuple(Line("", of, self.style).shortened(starts).values for of in columns)
            for columns in (self.shares, self.noise)
        )
        each = -(-len(self.values) // max(len(starts), 1))
        return replace(
            self, values=np.zeros(len(starts)), shares=shares, noise=noise, each=each * self.each, breaks=(), kept={}
        )

    def smoothed(self, window: int) -> Floats:
        """Returns [T] the distortion of the running means of the shares, without the part that noise adds."""
        means = np.stack([running_mean(share, window) for share in self.shares], axis=-1)
        found = corrected(means - self.fractions, self._errors(window))
        return np.asarray(np.maximum(found, 0.0))

    def noise_level(self, window: int) -> Floats:
        """Returns [T] the distortion that noise alone would add to running means, if it were not subtracted."""
        return np.asarray(0.5 * FOLDED * self._errors(window).sum(-1))

    def _errors(self, window: int) -> Floats:
        """Returns [T, K] standard errors of the running means of the shares."""
        place = np.arange(len(self.values))
        rows = np.minimum(place + (window - 1) // 2 + 1, len(place)) - np.maximum(place - window // 2, 0)
        variances = np.stack([running_mean(noise, window) for noise in self.noise], axis=-1)
        # In a phase without noise (a head alone has all of every update) running sums may leave a rounding error below 0.
        return np.asarray(np.sqrt(np.maximum(variances, 0.0) / (rows * self.each)[:, None]))


@drawing
def distortion_curves(runs: Sequence[Run], **options: Unpack[Options]) -> Sheet:
    """Draws the distortion of one or more runs over training.

    The faint line shows single steps, with the noise of their batches. The strong line is the distortion of the running
    means of the shares. It is estimated as in ``gradlens.distortion``: the part that noise adds is subtracted. All runs
    are averaged over the same number of optimizer steps. The dotted line is the level that noise alone would reach: a
    strong line well below it may as well be zero. If exactly one of the runs has phases, they are shaded.

    Args:
        runs: One or more runs.
        **options: See ``Options``.

    Raises:
        FigureError: There is no run, or a run does not have the axis.
    """
    view = View.of(options)
    if not runs:
        raise FigureError("no run to draw; give at least one")
    sheet = Sheet()
    lines = [
        distortion_line(run, run_style(run, view.theme), key) for run, key in zip(runs, run_keys(runs), strict=True)
    ]
    axes = [axis_of(run, view.x) for run in runs]
    views = common_views(view, runs)
    for axis, line, own in zip(axes, lines, views, strict=True):
        add_lines(sheet, axis, [line], own, legend=True)
        _add_noise_level(sheet, axis, line, own)
    units = " or ".join(dict.fromkeys(safe(run.groups.units) for run in runs))
    title = f"How far is the update from serving all {units} alike? Distortion"
    about = f"half the distance between shares of the update and of the {units}, 0 = none"
    dotted = "dotted: what noise alone would reach" if any((own.smooth or 1) > 1 for own in views) else ""
    differ = "the groups of the runs differ" if groups_differ(runs) else ""
    dress(sheet, view.theme, title, subtitle(about, common_text(view, runs), dotted, differ))
    alone = len(runs) == 1
    phased = [i for i, run in enumerate(runs) if len(run.phases) > 1]
    banded = 0 if alone else phased[0] if len(phased) == 1 else None
    if banded is not None:
        of = "" if alone else runs[banded].name
        add_events(sheet, runs[banded], axes[banded], view.theme, [(1, 1)], of=of)
    sheet.update_layout(**legend_of(len(runs)))
    sheet.update_xaxes(**horizontal(*axes))
    sheet.update_yaxes(
        title={"text": QUANTITIES["distortion"].title},
        range=common_range(lines, views, headroom=banded is not None and bool(phased)),
    )
    return sheet if any(map(len, runs)) else note(sheet, view.theme, NO_STEPS)


def distortion_line(run: Run, style: Style, key: str) -> DistortionLine:
    """Returns the distortion of a run as a line, with breaks at its phases."""
    shares = tuple(filled_share(run, name) for name in run.groups.names)
    line = DistortionLine(
        run.name, run.share_distance(), style, format=".3f", key=key, fractions=run.groups.fractions(), shares=shares,
        noise=_noise(run, np.stack(shares, axis=-1)),
    )  # fmt: skip
    return apart(run, [line])[0]


def _noise(run: Run, shares: Floats) -> tuple[Floats, ...]:
    """Returns [T] for each group: the variance of the mean of its share over n steps, times n.

    Each phase has one value, which is estimated from all steps of the phase.

    Args:
        run: The run.
        shares: [T, K] shares of the groups.
    """
    found = np.zeros_like(shares)
    starts = np.searchsorted(run.steps[: len(shares)], [phase.start for phase in run.phases[1:]])
    for first, stop in pairwise([0, *map(int, starts), len(shares)]):
        whole = np.isfinite(shares[first:stop]).all(-1)
        if whole.sum() > 1:
            found[first:stop] = step_variances(shares[first:stop][whole])
    return tuple(found.T)


def _add_noise_level(sheet: Sheet, axis: Axis, line: DistortionLine, view: View) -> None:
    """Draws the noise level as a dotted line. Its points are the two ends and the rows where the level changes."""
    n = min(len(axis.positions), len(line.values))
    window = view.smoothing(n)
    if window == 1 or n < 2:
        return
    level = line.part(slice(n)).noise_level(window)
    changes = np.flatnonzero(np.abs(np.diff(level)) > 1e-3 * max(float(np.nanmax(level)), 1e-12))
    kept = np.unique(np.concatenate([[0, n - 1], changes, changes + 1]))[:MOST_BENDS]
    sheet.add_trace(
        scatter(
            x=axis.positions[kept], y=level[kept], mode="lines", name=safe(line.name), legendgroup=safe(line.key or line.name),
            showlegend=False, line={"color": line.style.color, "width": 1, "dash": line.style.dots},
            hovertemplate="%{y:.3f} of noise alone",
        )
    )  # fmt: skip
