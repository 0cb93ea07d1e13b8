"""The page "Paper": the paper's Figure 1 for two runs, and its dual-phase method beside a baseline."""

import streamlit as st

from gradlens_dashboard.components.choices import choose
from gradlens_dashboard.components.page import heading, runs_or_stop
from gradlens_dashboard.components.paper_dual_phase import show_dual_phase
from gradlens_dashboard.components.paper_figure1 import show_figure1

FIGURE1, DUAL_PHASE = "figure1", "dual-phase"
PARTS = {FIGURE1: "Figure 1", DUAL_PHASE: "Dual-phase"}
LEADS = {
    FIGURE1: "Above: how closely the overall gradient follows each group. Below: how strong each group's gradient is. "
    "In the paper the overall gradient follows the head on long-tailed data (left), and hardly the tail.",
    DUAL_PHASE: "A method that trains in phases beside one that does not. In phase I only the head is trained, so the whole "
    "update is the head's. In phase II the tail joins, and the shares should come close to those of the classes.",
}

heading(
    "Paper",
    "The paper behind gradlens, with runs of yours: its Figure 1 for any two runs, and its dual-phase method beside a baseline. "
    "`gradlens demo` makes such runs.",
)
found = runs_or_stop()
part = choose(st.segmented_control, "Part", PARTS, FIGURE1, "part", label_visibility="collapsed")
st.markdown(LEADS[part])
if part == FIGURE1:
    runs_or_stop(fewest=2)
    show_figure1(found)
else:
    show_dual_phase(found)
