"""Curves of one run over training: cosines, norms, conflicts, losses, accuracies, the optimizer's update."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from gradlens.figures._axis import add_events, axis_of, horizontal
from gradlens.figures._describe import NORMS, PERS, groups_text, run_text, some_groups, some_groups_text, subtitle
from gradlens.figures._heat import group_heat
from gradlens.figures._lines import Line, Options, View, add_lines, apart, robust_range, smoothing_text
from gradlens.figures._names import pair_style, style_of, styles_of, whole_style
from gradlens.figures._scale import log_norms
from gradlens.figures._sheet import Sheet, drawing, scatter
from gradlens.figures._theme import FigureError, dress, note, safe
from gradlens.metrics.catalogue import QUANTITIES
from gradlens.metrics.gram import Floats

if TYPE_CHECKING:
    from gradlens.runlog import Run

# A figure has at most this many lines. With more groups some figures become heat maps, others show some of the groups.
MOST_LINES = 8
SHOTS = ("many", "medium", "few")
NO_STEPS = "No measured steps."
NO_LOGITS = "The loss of single samples is unknown in this run: what was measured were no class scores."


@drawing
def cosines(run: Run, **options: Unpack[Options]) -> Sheet:
    """Draws the cosine of each group's gradient with the overall gradient; with more than 8 groups as a heat map.

    Raises:
        FigureError: The theme is unknown, or the run does not have the axis.
    """
    view = View.of(options)
    title = "Which way does the overall gradient point? Cosine of each group with it"
    if len(run.groups) > MOST_LINES:
        return group_heat(run, QUANTITIES["cosine"], title, view)
    styles = styles_of("group", run.groups.names, view.theme)
    lines = [Line(name, run.cosine(name), styles[name], format=".3f") for name in run.groups.names]
    return over_training(run, lines, view, title, QUANTITIES["cosine"].title, zero_line=True)


@drawing
def norms(run: Run, per: str = "contribution", *, log: bool = False, **options: Unpack[Options]) -> Sheet:
    """Draws the norm of each group's gradient and of the overall gradient; with more than 8 groups as a heat map.

    Args:
        run: The run.
        per: "contribution" or "mean" (see ``Run.norm``).
        log: Logarithmic vertical axis.
        **options: See ``Options``.

    Raises:
        FigureError: ``per`` is unknown, or the run does not have the axis.
    """
    view = View.of(options)
    if per not in PERS:
        raise FigureError(f"per={per!r}; choose one of {', '.join(PERS)}")
    title = "How strong is each group's gradient?"
    if len(run.groups) > MOST_LINES:
        return group_heat(run, QUANTITIES[NORMS[per]], title, view, log=log)
    styles = styles_of("group", run.groups.names, view.theme)
    lines = [Line(name, run.norm(name, per=per), styles[name]) for name in run.groups.names]
    lines.append(Line("overall", run.norm("all"), whole_style(view.theme)))
    return over_training(run, lines, view, title, "norm", about=f"norm of each group's {PERS[per]}", log=log)


@drawing
def conflicts(run: Run, **options: Unpack[Options]) -> Sheet:
    """Draws the cosine between the gradients of each two groups; of more than 8 pairs the 8 with the lowest cosines.

    Raises:
        FigureError: The theme is unknown, or the run does not have the axis.
    """
    view = View.of(options)
    pairs = list(combinations(run.groups.names, 2))
    title = "Do the groups pull together or against each other?"
    if not pairs:
        return note(dress(Sheet(), view.theme, title, run_text(run)), view.theme, "One group alone has no conflict.")
    about = "cosine between two groups' gradients; below 0 they conflict"
    if len(pairs) > MOST_LINES:
        pairs, about = _most_conflicting(run, pairs), f"the {MOST_LINES} of {len(pairs)} pairs that conflict most"
    lines = [Line(f"{a} and {b}", run.conflict(a, b), pair_style(a, b, view.theme), format=".3f") for a, b in pairs]
    return over_training(run, lines, view, title, "cosine between the groups", about=about, zero_line=True)


@drawing
def losses(run: Run, **options: Unpack[Options]) -> Sheet:
    """Draws the mean loss per sample of each group, and the whole loss on which the training called ``backward``.

    Raises:
        FigureError: The theme is unknown, or the run does not have the axis.
    """
    view = View.of(options)
    title = "How well is each group fitted? Training loss per sample"
    lines = [*_per_sample(run, run.loss, view), Line("whole loss", run.total_loss, whole_style(view.theme))]
    return over_training(run, lines, view, title, "loss", about=_drawn(run))


@drawing
def accuracies(run: Run, **options: Unpack[Options]) -> Sheet:
    """Draws the accuracy of each group: left on the training batches, right in the evaluations, if there are any.

    Raises:
        FigureError: The theme is unknown, or the run does not have the axis.
    """
    view = View.of(options)
    training = _per_sample(run, 100 * run.correct, view)
    evaluated = _evaluated(run, view)
    title = "Who is classified correctly? Accuracy per group"
    if not training and not evaluated:
        return note(dress(Sheet(), view.theme, title, run_text(run)), view.theme, NO_LOGITS)
    axis = axis_of(run, view.x)
    both = bool(training) and bool(evaluated)
    titles = ["<b>on training batches</b>"] if training else []
    titles += [f"<b>evaluated on {safe(' and '.join(evaluated))}</b>"] if evaluated else []
    sheet = Sheet(1, 1 + both, shared_yaxes=True, horizontal_spacing=0.04, subplot_titles=titles)
    if training:
        add_lines(sheet, axis, apart(run, training), view, legend=True)
    for split, curves in evaluated.items():
        for name, (steps, values, style) in curves.items():
            shown = name in run.groups.names and training
            sheet.add_trace(
                scatter(
                    x=axis.of_steps(run, steps), y=values, name=safe(name), legendgroup=safe(name), showlegend=not shown,
                    hovertemplate="%{y:.1f}%" + f" ({safe(split)})", line=style.line, **style.points(5),
                ), row=1, col=1 + both,
            )  # fmt: skip
    text = subtitle(run_text(run), _drawn(run), smoothing_text(view, run) if training else "")
    dress(sheet, view.theme, title, text, panel_titles=True)
    add_events(sheet, run, axis, view.theme, [(1, col) for col in range(1, 2 + both)])
    sheet.update_xaxes(**horizontal(axis))
    sheet.update_yaxes(range=[0, 110 if run.phases else 101], ticksuffix="%", dtick=20)
    return sheet


@drawing
def update_cosines(run: Run, **options: Unpack[Options]) -> Sheet:
    """Draws the cosine of each group's gradient with the step that the optimizer took.

    With momentum or Adam that step differs from the gradient.

    Raises:
        FigureError: The theme is unknown, or the run does not have the axis.
    """
    view = View.of(options)
    title = "Which group does the optimizer's step follow? Cosine of each group with it"
    if not run.has_update:
        text = "The optimizer's step was not measured in this run (update=True measures it)."
        return note(dress(Sheet(), view.theme, title, run_text(run)), view.theme, text)
    names = some_groups(run.groups, MOST_LINES)
    styles = styles_of("group", names, view.theme)
    lines = [Line(name, run.conflict(name, "update"), styles[name], format=".3f") for name in names]
    lines.append(Line("overall gradient", run.cosine("update"), whole_style(view.theme), format=".3f"))
    return over_training(run, lines, view, title, "cosine with the update", about=_drawn(run), zero_line=True)


@drawing
def component_norms(run: Run, *, log: bool = False, **options: Unpack[Options]) -> Sheet:
    """Draws the norm of the gradient of each loss component, and of the overall gradient.

    Args:
        run: The run.
        log: Logarithmic vertical axis.
        **options: See ``Options``.

    Raises:
        FigureError: The theme is unknown, or the run does not have the axis.
    """
    view = View.of(options)
    title = "Which loss term moves the model? Norm of each term's gradient"
    if not run.components:
        text = "The loss of this run is not split into terms."
        return note(dress(Sheet(), view.theme, title, run_text(run)), view.theme, text)
    lines = [Line(name, run.norm(name), style_of("term", name, view.theme)) for name in run.components]
    lines.append(Line("overall", run.norm("all"), whole_style(view.theme)))
    return over_training(run, lines, view, title, "norm", log=log)


def over_training(
    run: Run,
    lines: list[Line],
    view: View,
    title: str,
    vertical: str,
    *,
    about: str = "",
    zero_line: bool = False,
    log: bool = False,
) -> Sheet:
    """Draws lines of one run into one panel.

    Args:
        run: The run.
        lines: What is drawn.
        view: How.
        title: Of the figure.
        vertical: Title of the vertical axis.
        about: For the subtitle; the groups by default.
        zero_line: Draws a line at zero.
        log: Logarithmic vertical axis.
    """
    axis = axis_of(run, view.x)
    sheet = Sheet()
    lines = apart(run, lines)
    add_lines(sheet, axis, lines, view)
    text = subtitle(run_text(run), about or groups_text(run.groups), smoothing_text(view, run))
    dress(sheet, view.theme, title, text)
    add_events(sheet, run, axis, view.theme, [(1, 1)])
    sheet.update_xaxes(**horizontal(axis))
    limits = robust_range(lines, view, headroom=bool(run.phases), around=zero_line)
    sheet.update_yaxes(title={"text": vertical}, range=limits)
    if log:
        sheet.update_yaxes(**log_norms(lines, headroom=bool(run.phases)))
    if zero_line:
        sheet.add_hline(0, line={"color": view.theme.muted, "width": 1}, layer="below")
    return sheet if len(run) else note(sheet, view.theme, NO_STEPS)


def _drawn(run: Run) -> str:
    """Returns a text for the subtitle: which groups have lines."""
    return some_groups_text(run.groups, MOST_LINES) or groups_text(run.groups)


def _per_sample(run: Run, sums: Floats, view: View) -> list[Line]:
    """Returns the lines of means per sample, of at most 8 groups.

    Args:
        run: The run.
        sums: [T, K] sums over the samples of each group.
        view: How the lines are drawn.

    Returns:
        The lines of the groups that have any finite value.
    """
    names = some_groups(run.groups, MOST_LINES)
    styles = styles_of("group", names, view.theme)
    counts = run.counts
    n = min(len(counts), len(sums))
    lines = []
    for name in names:
        k = run.groups.names.index(name)
        samples = np.where(counts[:n, k] > 0, counts[:n, k], np.nan)
        values = sums[:n, k] / samples
        if np.isfinite(values).any():
            lines.append(Line(name, values, styles[name], weights=counts[:n, k], format=".3~f"))
    return lines


def _evaluated(run: Run, view: View) -> dict[str, dict[str, Any]]:
    """Returns the evaluations of a run: split -> name -> (steps, accuracies in percent, style).

    If no accuracy is above 1, they are taken for fractions and turned into percent.
    """
    groups = some_groups(run.groups, MOST_LINES)
    names = [*groups, *(name for name in SHOTS if name not in groups)]
    styles = {**styles_of("group", names, view.theme), "overall": whole_style(view.theme)}
    names += ["overall"] if "overall" not in names else []
    found: dict[str, dict[str, tuple[list[int], list[float]]]] = {}
    for evaluation in run.evaluations:
        split = str(evaluation.get("split", "held-out data"))
        for name in names:
            value = evaluation.get(name)
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                steps, values = found.setdefault(split, {}).setdefault(name, ([], []))
                steps.append(evaluation["step"])
                values.append(float(value))
    everything = [v for curves in found.values() for _, values in curves.values() for v in values]
    scale = 100.0 if everything and max(everything) <= 1 else 1.0
    return {
        split: {name: (s, scale * np.array(v), styles[name]) for name, (s, v) in curves.items()}
        for split, curves in found.items()
    }


def _most_conflicting(run: Run, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    rows = run.sample(512)
    first, last = (int(rows[0]), int(rows[-1]) + 1) if len(rows) else (0, 0)
    A = run.gram(rows=slice(max(first, last - 512), last))
    names = list(run.names)
    if not all(name in names for pair in pairs for name in pair):  # with loss components the Gram has no plain groups
        return pairs[:MOST_LINES]
    root = np.sqrt(np.diagonal(A, axis1=1, axis2=2))
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = A / (root[:, :, None] * root[:, None, :])
    means = np.nansum(cosine, 0) / np.maximum(np.isfinite(cosine).sum(0), 1)
    return sorted(pairs, key=lambda pair: means[names.index(pair[0]), names.index(pair[1])])[:MOST_LINES]
