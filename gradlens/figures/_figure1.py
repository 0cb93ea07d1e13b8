"""Figure 1 of the paper: cosines (a, b) and norms (c, d) of a long-tailed and a balanced run, on shared axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from gradlens.analysis.two_runs import common_groups
from gradlens.figures._axis import add_events, axis_of, horizontal
from gradlens.figures._common_window import common_range, common_text, common_views
from gradlens.figures._curves import MOST_LINES, NO_STEPS
from gradlens.figures._describe import PERS, groups_text, run_text, some_names, some_names_text, subtitle
from gradlens.figures._lines import Line, Options, View, add_lines, apart
from gradlens.figures._names import styles_of, whole_style
from gradlens.figures._scale import log_norms
from gradlens.figures._sheet import Sheet, drawing
from gradlens.figures._theme import FigureError, dress, note, safe

if TYPE_CHECKING:
    from gradlens.runlog import Run


@drawing
def figure1(
    long_tailed: Run,
    balanced: Run,
    per: str = "contribution",
    *,
    log: bool = False,
    titles: tuple[str, str] = ("long-tailed", "balanced"),
    **options: Unpack[Options],
) -> Sheet:
    """Draws four panels: the long-tailed run on the left, the balanced run on the right; cosines above, norms below.

    With more than 8 common groups, 8 of them are drawn.

    Args:
        long_tailed: Run on long-tailed data.
        balanced: Run on balanced data, measured with the same groups.
        per: "contribution" or "mean" (see ``Run.norm``).
        log: Logarithmic axis for the norms.
        titles: Names of the two columns.
        **options: See ``Options``.

    Raises:
        PairError: The runs have no group in common.
        FigureError: ``per`` is unknown, or a run does not have the axis.
    """
    view = View.of(options)
    if per not in PERS:
        raise FigureError(f"per={per!r}; choose one of {', '.join(PERS)}")
    shared = common_groups(long_tailed, balanced)
    names = some_names(shared, MOST_LINES)
    styles = styles_of("group", names, view.theme)
    left, right = (safe(title) for title in titles)
    sheet = Sheet(
        2, 2, shared_yaxes=True, horizontal_spacing=0.035, vertical_spacing=0.1,
        subplot_titles=[
            f"<b>(a)</b> {left}: cosine with the overall gradient", f"<b>(b)</b> {right}: cosine with the overall gradient",
            f"<b>(c)</b> {left}: norm of the gradient", f"<b>(d)</b> {right}: norm of the gradient",
        ],
    )  # fmt: skip
    every_cosine: list[Line] = []
    every_norm: list[Line] = []
    axis = axis_of(long_tailed, view.x)
    cosine_views: list[View] = []
    norm_views: list[View] = []
    views = common_views(view, (long_tailed, balanced))
    for col, (run, own) in enumerate(zip((long_tailed, balanced), views, strict=True), start=1):
        axis = axis_of(run, view.x)
        cosines = [Line(name, run.cosine(name), styles[name], format=".3f") for name in names]
        norms = [Line(name, run.norm(name, per=per), styles[name]) for name in names]
        norms.append(Line("overall", run.norm("all"), whole_style(view.theme)))
        cosines, norms = apart(run, cosines), apart(run, norms)
        add_lines(sheet, axis, cosines, own, row=1, col=col, legend=False)
        add_lines(sheet, axis, norms, own, row=2, col=col, legend=col == 1)
        sheet.add_hline(0, line={"color": view.theme.muted, "width": 1}, layer="below", row=1, col=col)
        every_cosine += cosines
        every_norm += norms
        cosine_views += [own] * len(cosines)
        norm_views += [own] * len(norms)
    text = subtitle(
        f"{run_text(long_tailed)} and {run_text(balanced)}",
        some_names_text(shared, MOST_LINES) or groups_text(long_tailed.groups),
        common_text(view, (long_tailed, balanced)),
    )  # fmt: skip
    dress(sheet, view.theme, "Whose gradient does the model follow?", text, height=720, panel_titles=True)
    for col, run in enumerate((long_tailed, balanced), start=1):
        add_events(sheet, run, axis_of(run, view.x), view.theme, [(1, col), (2, col)])
    sheet.update_xaxes(**horizontal(*(axis_of(run, view.x) for run in (long_tailed, balanced))), row=2)
    lowest = common_range(every_cosine, cosine_views)
    sheet.update_yaxes(
        range=[min(lowest[0] if lowest else 0, -0.03), 1.04 if not (long_tailed.phases or balanced.phases) else 1.14],
        row=1,
    )
    sheet.update_yaxes(
        range=common_range(every_norm, norm_views, headroom=bool(long_tailed.phases or balanced.phases)), row=2
    )
    if log:
        sheet.update_yaxes(**log_norms(every_norm, headroom=bool(long_tailed.phases or balanced.phases)), row=2)
    sheet.update_yaxes(title={"text": "cosine"}, row=1, col=1)
    sheet.update_yaxes(
        title={"text": f"norm ({'contribution' if per == 'contribution' else 'mean gradient'})"}, row=2, col=1
    )
    return sheet if len(long_tailed) or len(balanced) else note(sheet, view.theme, NO_STEPS)
