"""Writes choices into the address that stand in no link yet, without a step in the browser's history."""

from __future__ import annotations

from typing import Any

import streamlit as st

# Streamlit's own st.query_params would add a step: going back would lead to the address without the choice, and so forth again.
SCRIPT = """
export default function ({ data }) {
  const address = new URL(window.location);
  for (const [key, values] of Object.entries(data)) {
    if (address.searchParams.has(key)) continue;
    for (const value of values) address.searchParams.append(key, value);
  }
  if (address.href !== window.location.href) window.history.replaceState(window.history.state, "", address);
}
"""


@st.cache_resource(show_spinner=False)
def _component() -> Any:
    return st.components.v2.component("gradlens.address", js=SCRIPT)


def keep(key: str, values: list[str]) -> None:
    """Adds a choice to the address, unless it has one of that name.

    Args:
        key: Name of the bound control.
        values: What is chosen.
    """
    with st.container(key=f"gl-address-{key}"):  # takes no room: see the style of the pages
        _component()(key=f"address-{key}", data={key: values})
