"""Keeps the choices of a page in its address, so that a pasted link, a reload and the back button open the same view.

Streamlit's own ``bind="query-params"`` is not used. When the viewer leaves a page, it adds entries without the choices to the
browser's history. Going back to such an entry shows another view than before.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

if TYPE_CHECKING:
    from streamlit.navigation.page import StreamlitPage

# Replaces the address of the current entry in the browser's history. Setting st.query_params would add a new entry and leave the
# current one without the choice.
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
    """Runs a page and shows its title in the browser's tab. Its path is noted: choices are only written to its own address."""
    st.set_page_config(page_title=f"{page.title} · gradlens")
    st.session_state["path"] = page.url_path
    page.run()


def title_tab(*names: str) -> None:
    """Shows in the browser's tab what the page shows, so that tabs can be told apart.

    Args:
        names: Titles of runs and names of groups; at most two are shown, and how many more there are.
    """
    more = [f"{len(names) - 2} more"] if len(names) > 2 else []
    st.set_page_config(page_title=" · ".join([*names[:2], *more, str(st.session_state["page"]), "gradlens"]))


def here() -> str:
    """Returns the path of the open page."""
    return str(st.session_state.get("path", ""))


def arrive(page: str) -> None:
    """Forgets the choices of the previous page if a new page begins. There the address decides.

    Otherwise a control that both pages have would keep its choice.

    Args:
        page: Title of the page.
    """
    if st.session_state.get("page") != page:
        for key in st.session_state.get("choices", ()):
            st.session_state.pop(key, None)
        st.session_state.pop("table", None)
        st.session_state.update(page=page, choices=set())


def remember(key: str, value: object) -> None:
    """Keeps a value in the session until the viewer opens another page."""
    st.session_state.setdefault("choices", set()).add(key)
    st.session_state[key] = value


def asked(key: str) -> list[str]:
    """Returns the values of a choice in the address."""
    return st.query_params.get_all(key)


def preset(key: str, options: Collection[str], default: str) -> None:
    """Sets a control to the choice in the address, if it has no valid choice yet. Must be called before it is drawn.

    It has none if it is new on the page, or if its options have changed.

    Args:
        key: Key of the control, and its name in the address.
        options: The options.
        default: Chosen if the address names no valid option.
    """
    if st.session_state.get(key) not in options:
        st.session_state[key] = next((value for value in asked(key) if value in options), default)


def keep(key: str, values: Sequence[str]) -> None:
    """Writes a choice into the address, and notes that the control belongs to this page.

    Args:
        key: Key of the control, and its name in the address.
        values: The chosen values. An empty list removes the name from the address.
    """
    st.session_state.setdefault("choices", set()).add(key)
    with st.container(key=f"gl-unseen-{key}"):  # takes no room: see the style of the pages
        data = {"path": here(), "name": key, "values": list(values)}
        _component()(key=f"address-{key}", data=data)
