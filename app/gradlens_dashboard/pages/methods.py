"""The page "Methods": the table of methods of the long-tail lab, as the package's page on them has it."""

from pathlib import Path

import streamlit as st

import gradlens
from gradlens_dashboard.components.page import heading

heading(
    "Methods",
    "What each method of the long-tail lab costs, its published numbers with their protocol, and what was measured here. "
    "`gradlens methods NAME` tells all that is known of one.",
)
# The page has it as text: to import the methods would load PyTorch.
page = Path(gradlens.__file__).parent / "longtail" / "table" / "README.md"
table = page.read_text("utf-8").partition("\n| ")[2]
st.markdown(f"| {table}")
