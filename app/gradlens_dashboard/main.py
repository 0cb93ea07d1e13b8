"""The entry point of the Streamlit app: it opens one of the pages. ``gradlens dashboard`` runs it."""

from pathlib import Path

import streamlit as st

from gradlens_dashboard.components.address import open_page
from gradlens_dashboard.components.store import runs_of_the_lab
from gradlens_dashboard.page_list import PAGES, PAPER

st.set_page_config(page_title="gradlens", page_icon=str(Path(__file__).with_name("icon.svg")), layout="wide")
pages = [
    st.Page(
        f"pages/{page.file}.py",
        title=page.title,
        icon=f":material/{page.icon}:",
        url_path=page.path or None,
        default=not page.path,
        visibility="hidden" if page.path == PAPER and not runs_of_the_lab() else "visible",
    )
    for page in PAGES
]
open_page(st.navigation(pages, position="top"))
