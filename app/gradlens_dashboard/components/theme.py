"""The theme (light or dark) that the viewer sees. A change of it redraws the page.

Streamlit changes its own colours by itself but does not run the page again (its issue 11920). The colours of figures come from
the server, so without this they would stay as they are until the viewer chooses something else.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

# Reports the theme as soon as it is not the one that the page was drawn for. An element around the component holds Streamlit's
# colours, so the script watches all elements around it.
SCRIPT = """
const dark = (color) => {
  const [r, g, b] = color.match(/[\\d.]+/g).map(Number);
  return 0.299 * r + 0.587 * g + 0.114 * b < 128;
};

const seen = (element) => {
  const probe = document.createElement("span");
  probe.style.color = "var(--st-background-color)";
  element.append(probe);
  const found = dark(getComputedStyle(probe).color) ? "dark" : "light";
  probe.remove();
  return found;
};

const watched = new WeakMap();

export default function (component) {
  const { data, parentElement } = component;
  const state = watched.get(parentElement) ?? { observer: new MutationObserver(() => state.look()) };
  state.look = () => {
    const now = seen(parentElement);
    if (now === (state.said ?? data.drawn)) return;
    state.said = now;
    component.setStateValue("seen", now);
  };
  if (data.drawn === state.said) state.said = undefined;
  if (!watched.has(parentElement)) {
    watched.set(parentElement, state);
    for (let e = parentElement.parentElement; e; e = e.parentElement) {
      state.observer.observe(e, { attributeFilter: ["class", "style"] });
    }
  }
  state.look();
  return () => {
    state.observer.disconnect();
    watched.delete(parentElement);
  };
}
"""


@st.cache_resource(show_spinner=False)
def _component() -> Any:
    return st.components.v2.component("gradlens.theme", js=SCRIPT, isolate_styles=False)


def theme() -> str:
    """Returns the theme that the viewer's browser shows: "light" or "dark"."""
    # During a change Streamlit still reports the old theme, so the component's report comes first.
    said = (st.session_state.get("theme") or {}).get("seen") or st.context.theme.type
    return "dark" if said == "dark" else "light"


def follow_theme() -> None:
    """Redraws the page when the viewer or the system changes the theme."""
    with st.container(key="gl-unseen-theme"):  # takes no room: see the style of the pages
        _component()(key="theme", data={"drawn": theme()}, on_seen_change=lambda: None)
