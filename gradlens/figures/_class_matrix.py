"""The matrix of cosines between the gradients of classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gradlens.figures._color_scale import add_missing, color_bar, round_up
from gradlens.figures._describe import probe_text, subtitle
from gradlens.figures._sheet import Sheet, drawing, heatmap
from gradlens.figures._theme import dress, safe, theme_of
from gradlens.metrics.gram import REST, UPDATE, Floats

if TYPE_CHECKING:
    from gradlens.runlog import Probe


@drawing
def class_cosines(probe: Probe, *, theme: str = "light") -> Sheet:
    """Draws the cosine between the gradients of every two groups of a probe as a matrix, most frequent group first.

    The groups of a probe are often single classes.

    Args:
        probe: A whole-data measurement.
        theme: "light" or "dark".

    Raises:
        FigureError: An unknown theme.
    """
    colors = theme_of(theme)
    order, cosine = frequency_order(probe)
    bound = _bound(cosine)
    counts = probe.counts[[probe.groups.names.index(name) for name in order]]
    labels = [safe(name) for name in order]
    hover = [f"{label} ({count:,.0f} samples)" for label, count in zip(labels, counts, strict=True)]
    size = len(order)
    gap = 1 if size <= 30 else 0
    sheet = Sheet()
    sheet.add_trace(
        heatmap(
            z=cosine.astype(np.float32), x=np.arange(size), y=np.arange(size), zmin=-bound, zmax=bound,
            colorscale=colors.diverging(),
            customdata=np.stack(np.broadcast_arrays(np.array(hover)[:, None], np.array(hover)[None]), axis=-1).tolist(),
            hovertemplate="%{customdata[0]}<br>and %{customdata[1]}<br>cosine %{z:.3f}<extra></extra>",
            hoverongaps=False, colorbar=color_bar("cosine", colors), xgap=gap, ygap=gap,
        )
    )  # fmt: skip
    told = add_missing(sheet, cosine, np.arange(size), np.arange(size), colors, "no sample of both at once", gap=gap)
    ends = f"colours end at ±{bound:g}, the diagonal is 1" if bound < 1 else ""
    dress(
        sheet, colors, f"Which {safe(probe.groups.units)} pull together? Cosine between their gradients",
        subtitle(probe_text(probe), "most frequent first", "blue: together, orange: against each other", ends, told),
        height=640,
    )  # fmt: skip
    shown = np.unique(np.linspace(0, size - 1, min(size, 25)).round().astype(int))
    ticks: dict[str, Any] = {
        "tickvals": shown,
        "ticktext": [labels[i] for i in shown],
        "showgrid": False,
        "automargin": True,
    }
    sheet.update_xaxes(
        **ticks, title={"text": f"{safe(probe.groups.members or 'class')}, by number of samples"}, constrain="domain"
    )
    sheet.update_yaxes(**ticks, autorange="reversed", scaleanchor="x", constrain="domain")
    sheet.update_layout(hovermode="closest")
    return sheet


def frequency_order(probe: Probe) -> tuple[list[str], Floats]:
    """Returns the K groups of a probe, from most to fewest samples, and the cosines between their gradients.

    The cosines are [K, K], in the order of the groups. NaN: a group has no sample.
    """
    names = [name for name in probe.names if name not in (REST, UPDATE) and name in probe.groups.names]
    counts = np.array([probe.counts[probe.groups.names.index(name)] for name in names])
    order = np.argsort(-counts, kind="stable")
    places = np.array([probe.names.index(names[i]) for i in order], dtype=np.intp)
    A = probe.gram[np.ix_(places, places)]
    root = np.sqrt(np.diagonal(A))
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = np.where(np.outer(root, root) > 0, A / np.outer(root, root), np.nan)
    return [names[i] for i in order], np.asarray(np.clip(cosine, -1, 1))


def _bound(cosine: Floats) -> float:
    """Returns where the colours end: the 99th percentile of the absolute cosines, rounded up, without the diagonal."""
    pairs = np.abs(cosine[~np.eye(len(cosine), dtype=bool)])
    pairs = pairs[np.isfinite(pairs)]
    return round_up(float(np.quantile(pairs, 0.99))) if len(pairs) else 1.0


@dataclass(frozen=True)
class ClassPair:
    """Two classes (or groups) and the cosine between their gradients.

    Attributes:
        a: The more frequent class.
        b: The other class.
        samples: Numbers of samples of ``a`` and of ``b``.
        cosine: Cosine between their gradients.
    """

    a: str
    b: str
    samples: tuple[float, float]
    cosine: float


def conflicting_pairs(probe: Probe, most: int = 10) -> list[ClassPair]:
    """Returns the pairs of classes whose gradients have the lowest cosine, lowest first.

    Pairs in which a class has no sample are left out.

    Args:
        probe: A whole-data measurement.
        most: The most pairs to return.
    """
    names, cosine = frequency_order(probe)
    counts = dict(zip(probe.groups.names, probe.counts, strict=True))
    first, second = np.triu_indices(len(names), k=1)
    values = cosine[first, second]
    order = np.argsort(np.where(np.isfinite(values), values, np.inf), kind="stable")[:most]
    chosen = [(names[first[i]], names[second[i]], float(values[i])) for i in order if np.isfinite(values[i])]
    return [ClassPair(a, b, (float(counts[a]), float(counts[b])), value) for a, b, value in chosen]
