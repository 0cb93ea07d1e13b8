"""The page "Compare": a quantity of several runs in one figure, and two of the runs in numbers."""

from functools import partial

import streamlit as st

from gradlens import figures
from gradlens.analysis.compare import left_out
from gradlens.analysis.headline import groups_differ
from gradlens.analysis.row import NOT_RANKED
from gradlens.analysis.two_runs import PairError, groups_in_common
from gradlens.metrics.catalogue import QUANTITIES, Unit, of_groups
from gradlens_dashboard.components.address import title_tab
from gradlens_dashboard.components.chart import chart
from gradlens_dashboard.components.choices import choose, choose_axis, choose_scale, choose_smoothing
from gradlens_dashboard.components.live import follow
from gradlens_dashboard.components.page import heading, plain, runs_or_stop
from gradlens_dashboard.components.run_list import list_runs_beside
from gradlens_dashboard.components.run_table import listed_runs
from gradlens_dashboard.components.sets_of_runs import EACH, sets_of, ways
from gradlens_dashboard.components.store import compared
from gradlens_dashboard.components.summary import say_apart, say_damage, say_unlike
from gradlens_dashboard.components.tables import differences_table

# Of more runs, the list has the numbers.
FEW_RUNS = 6

heading(
    "Compare",
    "A quantity of several runs in one figure, or its mean over seeds, aligned by step, epoch or part of training. Below, two "
    "runs in numbers. Lower distortion means that all classes had a more equal share of the update.",
)
found = runs_or_stop()
side, main = st.columns([1, 2.6], gap="medium")
with side:
    chosen = list_runs_beside(found, "runs", most=4)
runs = [found.runs[name] for name in chosen]
title_tab(*map(found.title, chosen))
listed = [run for run in listed_runs(found) if run.name in set(chosen)]
groups: list[str] = []
with main:
    if not chosen:
        st.info("Select one run or more in the list.", icon=":material/info:")
        st.stop()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        way = choose(st.selectbox, "Draw", ways(listed), EACH, "draw", width=220)
        x = choose_axis(runs, fraction=True)
        smooth = choose_smoothing()
        follow(runs)
    say_damage(found, chosen)
    say_unlike(runs)
    if groups_differ(runs):
        st.info(f"{NOT_RANKED[0].upper()}{NOT_RANKED[1:]}.", icon=":material/info:")
    over = {"x": x, "smooth": smooth}
    rows = max(map(len, runs))
    sets = {} if way == EACH else {name: [found.runs[n] for n in of] for name, of in sets_of(listed, way).items()}
    distortion = (
        partial(figures.combined.sheet, sets, "distortion") if sets else partial(figures.distortion_curves.sheet, runs)
    )
    chart(
        "distortion",
        partial(distortion, **over),
        name="distortion",
        revision=(x, way),
        rows=rows,
        explains="distortion",
    )
    if len(runs) <= FEW_RUNS:
        say_apart(runs)
    groups = groups_in_common(runs)
    if not groups:
        st.info(
            "No group is the same in all of these runs, so only their distortion can be drawn together. Measure a run with the "
            "groups of another: `gradlens track --groups-from RUN SCRIPT`.",
            icon=":material/info:",
        )
    else:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            group = choose(st.selectbox, "Group", groups, groups[-1], "group", width=220)
            quantities = {one.name: one.title[0].upper() + one.title[1:] for one in of_groups()}
            quantity = choose(st.selectbox, "Quantity", quantities, "share", "quantity", width=320)
            log = choose_scale() if QUANTITIES[quantity].unit is Unit.GRADIENT else False
        of = figures.combined.sheet if sets else figures.overlay.sheet
        overlay = partial(of, sets or runs, quantity, group, log=log, **over)
        name = f"{group}-{quantity}"
        chart("overlay", overlay, name=name, revision=(x, way, quantity, group, log), rows=rows, explains=quantity)

if len(chosen) > 1 and (groups or len(chosen) > 2):
    st.header("Two of them in numbers", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        first = choose(st.selectbox, "First", chosen, chosen[0], "first", width=300)
        second = choose(st.selectbox, "Second", chosen, chosen[1], "second", width=300)
    if first == second:
        st.info("Choose two different runs.", icon=":material/info:")
    else:
        try:
            rows_of, at = compared(found.runs[first], found.runs[second])
        except PairError:
            st.info(f"No group is the same in {plain(first)} and {plain(second)}.", icon=":material/info:")
        else:
            note = left_out(found.runs[first], found.runs[second])
            if note:
                st.warning(plain(note), icon=":material/exclamation:")
            if at:
                st.caption(f"From {at}; computed again when a run has grown by a tenth.")
            differences_table((first, second), rows_of)
