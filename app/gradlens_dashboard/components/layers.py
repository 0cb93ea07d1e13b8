"""The layers of a run: a heat map of all layers, and the curves of one layer."""

from __future__ import annotations

from functools import partial

import streamlit as st

from gradlens import figures
from gradlens.metrics.catalogue import of_vectors
from gradlens.runlog import Run
from gradlens_dashboard.components.chart import chart
from gradlens_dashboard.components.choices import choose, choose_scale


def layers(run: Run, name: str, x: str, smooth: int | None) -> None:
    """Shows the heat map of all layers, and below it the curves of the clicked or chosen layer.

    Args:
        run: The run.
        name: Name of the run, for downloaded files.
        x: Unit of the horizontal axis.
        smooth: Measured steps in the running mean; None = the default of the figures.
    """
    if not run.layers:
        st.info(
            "The layers were not measured in this run; track with `--layers`, or `Lens(..., layers=True)`.",
            icon=":material/layers_clear:",
        )
        return
    names = list(run.groups.names)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        group = choose(st.selectbox, "Group", names, names[-1], "group", width=260)
        shown = {one.name: one.name.replace("_", " ").capitalize() for one in of_vectors()}
        quantity = choose(st.segmented_control, "Colour shows", shown, "cosine", "colour")
        log = choose_scale()

    def clicked(row: int) -> None:
        st.session_state["layer"] = run.layers[min(max(row, 0), len(run.layers) - 1)]

    heat = partial(figures.layer_heatmap.sheet, run, group, quantity, log=log, x=x, smooth=smooth)
    chart(
        "heat",
        heat,
        name=f"{name}-layers",
        revision=(name, x),
        over_training=False,
        explains="cosine",
        on_click=clicked,
    )
    layer = choose(
        st.selectbox, "Layer", run.layers, run.layers[-1], "layer", width=420, help="Or click on a row of the heat map."
    )
    curves = partial(figures.layer_curves.sheet, run, layer, log=log, x=x, smooth=smooth)
    chart("curves", curves, name=f"{name}-{layer}", revision=(name, layer, x, log), rows=len(run), explains="cosine")
