"""Keeps the choices of a page in the address: a pasted link, a reload and the back button open the same view.

Streamlit's own ``bind="query-params"`` is not used: on leaving a page it adds steps to the browser's history that have lost the
choices, and coming back to one of those shows another view than the one that was left.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

if TYPE_CHECKING:
    from streamlit.navigation.page import StreamlitPage

# Replaces the address of the present step in the history, which setting st.query_params would leave without the choice.
SCRIPT = """
export default function ({ data }) {
  const address = new URL(window.location);
  if (!address.pathname.endsWith("/" + data.path)) return;  // the viewer has gone on meanwhile
  address.searchParams.delete(data.name);
  for (const value of data.values) address.searchParams.append(data.name, value);
  if (address.search !== window.location.search) window.history.replaceState(window.history.state, "", address);
}
"""


@st.cache_resource(show_spinner=False)
def _component() -> Any:
    return st.components.v2.component("gradlens.address", js=SCRIPT)


def open_page(page: StreamlitPage) -> None:
    """Runs a page, whose choices are written only into its own address, and names it in the browser's tab."""
    st.set_page_config(page_title=f"{page.title} · gradlens")
    st.session_state["path"] = page.url_path
    page.run()


def here() -> str:
    """Returns the path of the page that is open."""
    return str(st.session_state.get("path", ""))


def arrive(page: str) -> None:
    """Forgets the choices of the page before: on this one the address decides, also where a control is called the same.

    Args:
        page: Title of the page that begins.
    """
    if st.session_state.get("page") != page:
        for key in st.session_state.get("choices", ()):
            st.session_state.pop(key, None)
        st.session_state.pop("table", None)
        st.session_state.update(page=page, choices=set())


def remember(key: str, value: object) -> None:
    """Remembers something for as long as the viewer stays on this page."""
    st.session_state.setdefault("choices", set()).add(key)
    st.session_state[key] = value


def asked(key: str) -> list[str]:
    """Returns what the address says about a choice."""
    return st.query_params.get_all(key)


def preset(key: str, options: Collection[str], default: str) -> None:
    """Sets a control, before it is drawn, to what the address says, where it is new on the page or its options have changed.

    Args:
        key: Of the control, and its name in the address.
        options: What can be chosen.
        default: Chosen where the address says nothing that can be.
    """
    if st.session_state.get(key) not in options:
        st.session_state[key] = next((value for value in asked(key) if value in options), default)


def keep(key: str, values: Sequence[str]) -> None:
    """Writes a choice into the address and remembers the control as one of this page.

    Args:
        key: Its name there.
        values: What is chosen; nothing takes the name out of the address.
    """
    st.session_state.setdefault("choices", set()).add(key)
    with st.container(key=f"gl-unseen-{key}"):  # takes no room: see the style of the pages
        data = {"path": here(), "name": key, "values": list(values)}
        _component()(key=f"address-{key}", data=data)
