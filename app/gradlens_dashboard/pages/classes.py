"""The page "Classes": cosines between the gradients of classes, and each class's share of the gradient."""

import streamlit as st

from gradlens import figures
from gradlens_dashboard.components.address import title_tab
from gradlens_dashboard.components.chart import chart
from gradlens_dashboard.components.choices import choose_run, choose_step
from gradlens_dashboard.components.live import follow
from gradlens_dashboard.components.page import heading, runs_or_stop
from gradlens_dashboard.components.store import classes_of
from gradlens_dashboard.components.summary import say_damage
from gradlens_dashboard.components.tables import plain_table

heading(
    "Classes",
    "The cosine between the gradients of every two classes, most frequent first: blue pairs pull together, orange ones against "
    "each other. Below, each class's share of the gradient against its number of samples.",
)
found = runs_or_stop()
able = [name for name, row in found.rows.items() if row.by_class]
if not able:
    st.info(
        "None of these runs was measured class by class. `lens.probe(loader, groups=ClassGroups.per_class(n))` does it once on "
        "whole data, `gradlens track --groups per-class SCRIPT` on every measured step; `gradlens demo` makes runs with probes.",
        icon=":material/apps_outage:",
    )
    st.stop()
with st.container(horizontal=True, vertical_alignment="bottom"):
    name = choose_run(found, "Run", "run", names=able)
    run = found.runs[name]
    title_tab(found.title(name))
    follow([run])
say_damage(found, [name])
probes = classes_of(run)
index = len(probes) - 1
if len(probes) > 1:
    index = choose_step(
        "Measurement", [probe.step for probe in probes], "at",
        help="Probes of the whole data in the order of training, or parts of the training if every class is a group. At the "
        "right end the page always shows the latest one.",
    )  # fmt: skip
probe = probes[index]

picture, table = st.columns([5, 3], gap="large")
with picture:
    chart(
        "cosines",
        lambda theme: figures.class_cosines.sheet(probe, theme=theme),
        name=f"{name}-classes",
        revision=name,
        over_training=False,
    )
with table:
    st.header("Most conflicting pairs", anchor=False)
    pairs = [
        (f"{p.a} ({p.samples[0]:,.0f})", f"{p.b} ({p.samples[1]:,.0f})", f"{p.cosine:+.3f}")
        for p in figures.conflicting_pairs(probe)
        if p.cosine < 0
    ]
    if pairs:
        plain_table(
            (f"{probe.groups.members or 'class'} (samples)", "against", "cosine"),
            pairs,
            numeric=(2,),
            caption="The pairs with the lowest cosine between their gradients; -1 = exactly against each other.",
        )
    else:
        st.caption(f"No two {probe.groups.units} pull against each other.")
chart(
    "shares",
    lambda theme: figures.class_shares.sheet(probe, theme=theme),
    name=f"{name}-class-shares",
    revision=name,
    over_training=False,
)
