"""The paper's Figure 1 for any two runs, and whether the paper's claims hold for them."""

from __future__ import annotations

from functools import partial

import streamlit as st

from gradlens import figures
from gradlens.analysis.default_pair import MOST_RUNS, default_pair, long_tailed_and_balanced
from gradlens.analysis.two_runs import PairError
from gradlens_dashboard.components.address import title_tab
from gradlens_dashboard.components.chart import chart
from gradlens_dashboard.components.choices import choose_axis, choose_norm, choose_run, choose_scale, choose_smoothing
from gradlens_dashboard.components.live import follow
from gradlens_dashboard.components.page import plain
from gradlens_dashboard.components.shelf import Shelf
from gradlens_dashboard.components.store import claims_of
from gradlens_dashboard.components.summary import say_damage, say_unlike
from gradlens_dashboard.components.tables import claims_table


def show_figure1(found: Shelf) -> None:
    """Shows two runs as in Figure 1, and judges the claims."""
    first = {name: found.runs[name] for name in list(found.runs)[:MOST_RUNS]}
    pair = default_pair(list(first.values()))
    names = {id(run): name for name, run in first.items()}
    long_tailed, balanced = (names[id(run)] for run in pair) if pair else list(first)[:2]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        left = choose_run(found, "Long-tailed run", "lt", long_tailed)
        right = choose_run(found, "Balanced run", "balanced", balanced)
    runs = (found.runs[left], found.runs[right])
    title_tab(found.title(left), found.title(right))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        x = choose_axis(runs, fraction=True)
        per = choose_norm()
        log = choose_scale()
        smooth = choose_smoothing()
        follow(runs)
    say_damage(found, (left, right))
    if left == right:
        st.info("Both sides show the same run; choose another one on either side.", icon=":material/info:")
    say_unlike(runs)
    try:
        claims, at = claims_of(*runs)
    except PairError as error:
        st.info(plain(f"{error}"[:1].upper() + f"{error}"[1:]), icon=":material/info:")
        return
    titles = ("long-tailed", "balanced") if pair and runs == pair and long_tailed_and_balanced(*runs) else (left, right)
    draw = partial(figures.figure1.sheet, *runs, per, log=log, titles=titles, x=x, smooth=smooth)
    chart(
        "figure1",
        draw,
        name=f"figure1-{left}-{right}",
        revision=(left, right, x, log),
        rows=max(map(len, runs)),
        explains="cosine",
    )

    st.header("What the paper says about it", anchor=False)
    if at:
        st.caption(f"From {at}; judged again when a run has grown by a tenth.")
    claims_table(claims)
