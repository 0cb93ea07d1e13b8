"""Where in the network a group is heard: a heat map of all layers, and the curves of one."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app.components.chart import chart
from gradlens import figures
from gradlens.runlog import Run

QUANTITIES = {"cosine": "Cosine", "share": "Share", "norm": "Norm"}


def layers(run: Run, name: str, x: str, smooth: int | None) -> None:
    """Shows the heat map, and below it the curves of the layer that was clicked or chosen."""
    if not run.layers:
        st.info(
            "The layers were not measured in this run; track with `--layers`, or `Lens(..., layers=True)`.",
            icon=":material/layers_clear:",
        )
        return
    names = list(run.groups.names)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        group = st.selectbox("Group", names, len(names) - 1, key="group", bind="query-params", width=260)
        quantity = st.segmented_control(
            "Colour shows", list(QUANTITIES), default="cosine", required=True, key="colour", bind="query-params",
            format_func=QUANTITIES.get,
        )  # fmt: skip

    def clicked(row: int) -> None:
        st.session_state["layer"] = run.layers[min(max(row, 0), len(run.layers) - 1)]

    heat = partial(figures.layer_heatmap, run, group, quantity, x=x)
    chart("heat", heat, name=f"{name}-layers", revision=(name, x), over_training=False, on_click=clicked)
    layer = st.selectbox(
        "Layer", list(run.layers), len(run.layers) - 1, key="layer", bind="query-params", width=420,
        help="Or click on a row of the heat map.",
    )  # fmt: skip
    curves = partial(figures.layer_curves, run, layer, x=x, smooth=smooth)
    chart("curves", curves, name=f"{name}-{layer}", revision=(name, layer, x), rows=len(run))
