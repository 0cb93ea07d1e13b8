"""A run in phases beside a baseline. It shows whether training in phases removes the distortion."""

from __future__ import annotations

from functools import partial

import streamlit as st

from gradlens import figures
from gradlens.analysis.default_pair import MOST_RUNS, default_baseline
from gradlens.analysis.two_runs import groups_in_common
from gradlens_dashboard.components.address import title_tab
from gradlens_dashboard.components.chart import chart
from gradlens_dashboard.components.choices import choose_axis, choose_run, choose_scale, choose_smoothing
from gradlens_dashboard.components.live import follow
from gradlens_dashboard.components.page import plain
from gradlens_dashboard.components.shelf import Shelf
from gradlens_dashboard.components.store import story_of
from gradlens_dashboard.components.summary import say_damage, say_unlike
from gradlens_dashboard.components.tables import accuracy_table, story_table


def show_dual_phase(found: Shelf) -> None:
    """Shows a run in phases beside a baseline."""
    phased = [name for name, row in found.rows.items() if row.phases > 1]
    if not phased:
        st.info(
            "No run here has more than one phase. `gradlens demo` and `gradlens train dual-phase DATASET` make one; in a script "
            'of your own, `gradlens.phase("II")` names what follows.',
            icon=":material/looks_two:",
        )
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = choose_run(found, "Method in phases", "run", names=phased)
        run = found.runs[name]
        others = [other for other in found.runs if other != name]
        baseline = None
        if others:
            # Of many runs, those with the same groups are looked at first.
            likely = sorted(others, key=lambda other: found.rows[other].grouping != found.rows[name].grouping)[
                :MOST_RUNS
            ]
            best = default_baseline(run, [found.runs[other] for other in likely])
            default = next((other for other in likely if found.runs[other] is best), others[0])
            against = choose_run(found, "Against", "against", default, others)
            baseline = found.runs[against]
    both = [run] if baseline is None else [run, baseline]
    title_tab(*(part.name for part in both))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        x = choose_axis(both, fraction=True)
        smooth = choose_smoothing()
        follow(both)
    say_damage(found, (name,) if baseline is None else (name, against))
    say_unlike(both)
    over = {"x": x, "smooth": smooth}
    rows = max(map(len, both))
    revision = (tuple(r.name for r in both), x)

    chart(
        "distortion",
        partial(figures.distortion_curves.sheet, both, **over),
        name="distortion",
        explains="distortion",
        revision=revision,
        rows=rows,
    )
    for part in both:
        key = "shares" if part is run else "shares-against"
        chart(
            key,
            partial(figures.shares.sheet, part, beside=both, **over),
            name=f"{part.name}-shares",
            explains="share",
            revision=revision,
            rows=rows,
        )
    chart(
        "accuracy",
        lambda **options: figures.evaluations.sheet(both, **{**options, "x": x}),
        name="accuracy",
        explains="accuracy",
        revision=revision,
        rows=rows,
    )
    accuracy_table(both)
    if run.components:
        log = choose_scale()
        terms = partial(figures.component_norms.sheet, run, log=log, **over)
        chart("terms", terms, name=f"{name}-terms", revision=(revision, log), rows=rows)

    st.header("Before and after", anchor=False)
    groups = groups_in_common(both)
    if not groups:
        st.info(
            f"{plain(name)} and {plain(both[-1].name)} have no group in common; only their own figures can be shown."
        )
    else:
        titles, story = story_of(run, baseline, groups)
        story_table(titles, story)
