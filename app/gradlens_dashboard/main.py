"""The entry point of the Streamlit app: it lists the pages and opens one. ``gradlens dashboard`` runs it."""

from pathlib import Path

import streamlit as st

from gradlens_dashboard.components.address import open_page

st.set_page_config(page_title="gradlens", page_icon=str(Path(__file__).with_name("icon.svg")), layout="wide")
pages = [
    st.Page("pages/runs.py", title="Runs", icon=":material/list:", default=True),
    st.Page("pages/figure1.py", title="Figure 1", icon=":material/grid_view:", url_path="figure1"),
    st.Page("pages/run.py", title="Run", icon=":material/show_chart:", url_path="run"),
    st.Page("pages/dual_phase.py", title="Dual-phase", icon=":material/looks_two:", url_path="dual-phase"),
    st.Page("pages/compare.py", title="Compare", icon=":material/compare_arrows:", url_path="compare"),
    st.Page("pages/classes.py", title="Classes", icon=":material/apps:", url_path="classes"),
    st.Page("pages/methods.py", title="Methods", icon=":material/table:", url_path="methods"),
]
open_page(st.navigation(pages, position="top"))
