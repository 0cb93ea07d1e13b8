"""The page "Run": the figures of one run over training and by layer, and all facts about it."""

from functools import partial

import streamlit as st

from gradlens import figures
from gradlens.analysis.evaluations import evaluation_table
from gradlens.metrics.catalogue import QUANTITIES
from gradlens_dashboard.components.address import title_tab
from gradlens_dashboard.components.chart import chart
from gradlens_dashboard.components.choices import (
    choose,
    choose_axis,
    choose_norm,
    choose_run,
    choose_scale,
    choose_smoothing,
)
from gradlens_dashboard.components.diagnosis import diagnosis
from gradlens_dashboard.components.live import follow
from gradlens_dashboard.components.page import heading, runs_or_stop
from gradlens_dashboard.components.summary import summary
from gradlens_dashboard.components.tables import facts_table, plain_table

# At most this many events are listed. Nobody reads a longer table.
MOST_EVENTS = 200
PARTS = {
    "gradient": "Gradient",
    "layers": "Layers",
    "fit": "Loss and accuracy",
    "update": "Optimizer",
    "facts": "Facts",
}
# Key of a figure -> the quantity that it shows. Figures of other quantities have their names as keys.
EXPLAINED = {
    "cosines": "cosine", "shares": "share", "norms": "norm", "conflicts": "conflict", "losses": "loss_per_sample",
    "accuracies": "accuracy", "update": "cosine", "terms": "norm",
}  # fmt: skip

heading(
    "Run",
    "How closely the overall gradient follows each group, how strong each group's gradient is, and its share of the update. "
    "Drag in a figure to zoom, double-click to see all. Shaded bands are phases, dotted lines are marks and events.",
)
found = runs_or_stop()
with st.container(horizontal=True, vertical_alignment="bottom"):
    name = choose_run(found, "Run", "run")
    run = found.runs[name]
    title_tab(found.title(name))
    x = choose_axis([run])
    smooth = choose_smoothing()
    follow([run])
top = st.container()  # filled after the first figure, so that the figure does not wait for it
part = choose(st.segmented_control, "Show", PARTS, "gradient", "show", label_visibility="collapsed")
over = {"x": x, "smooth": smooth}


def show(key: str, draw: object, **more: object) -> None:
    """Shows a figure of the run over training."""
    figure = partial(draw, run, **{**over, **more})  # type: ignore[operator]
    about = EXPLAINED.get(key, key if key in QUANTITIES else "")
    chart(key, figure, name=f"{name}-{key}", revision=(name, x, *more.values()), rows=len(run), explains=about)


if part == "gradient":
    show("cosines", figures.cosines.sheet)
with top:
    summary(run)
    diagnosis(run)
if part == "gradient":
    show("shares", figures.shares.sheet)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        per = choose_norm()
        log = choose_scale()
    show("norms", figures.norms.sheet, per=per, log=log)
    show("conflicts", figures.conflicts.sheet)
    for other in figures.other_quantities(run):
        show(other.name, partial(figures.quantity_curves.sheet, name=other.name))
elif part == "layers":
    from gradlens_dashboard.components.layers import layers

    layers(run, name, x, smooth)
elif part == "fit":
    show("losses", figures.losses.sheet)
    show("accuracies", figures.accuracies.sheet)
    if (evaluated := evaluation_table(run)) is not None:
        st.header("Evaluations", anchor=False)
        columns = range(1, len(evaluated.head))
        plain_table(evaluated.head, evaluated.rows, numeric=columns, caption=evaluated.note)
    if run.logged_names:
        show("logged", figures.logged_curves.sheet)
elif part == "update":
    show("update", figures.update_cosines.sheet)
    log = choose_scale() if run.components else False
    show("terms", figures.component_norms.sheet, log=log)
else:
    facts_table(run)
    others = figures.notices(run)
    if run.phases or run.marks or others:
        st.header("Phases, marks and events", anchor=False)
        rows = [
            (f"phase {p.name}", f"{p.start:,}", f"{p.end - 1:,}" if p.end is not None else "end") for p in run.phases
        ]
        rows += [(mark.text, f"{mark.step:,}", "") for mark in [*run.marks, *others][:MOST_EVENTS]]
        more = len(run.marks) + len(others) - MOST_EVENTS
        below = f"… and {more:,} more, in events.jsonl of the run." if more > 0 else ""
        plain_table(("", "from step", "to step"), rows, numeric=(1, 2), caption=below)
