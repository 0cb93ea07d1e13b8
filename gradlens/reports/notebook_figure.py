"""The HTML of a plotly figure in a notebook. It is drawn without a network.

The first figure of a process brings plotly.js along (4.8 MB). The later ones use it where it is. If it is gone, because that
output was deleted, they load it from its public address.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from plotly.offline import get_plotlyjs, get_plotlyjs_version

if TYPE_CHECKING:
    import plotly.graph_objects as go

ADDRESS = "https://cdn.plot.ly/plotly-{version}.min.js"
HEIGHT = 450  # plotly's own
DRAWING = """<div id="{name}" class="plotly-graph-div" style="width:100%;height:{height}px"></div>
<script>(() => {{
  const draw = () => Plotly.newPlot("{name}", {{...{figure}, config: {{responsive: true}}}});
  if (window.Plotly) return draw();
  const script = document.createElement("script");
  script.src = "{address}";
  script.onload = draw;
  document.head.appendChild(script);
}})()</script>"""

_brought = False


def figure_html(figure: go.Figure) -> str:
    """Returns the HTML of a figure. The first call in a process adds plotly.js."""
    global _brought
    drawing = DRAWING.format(
        name=f"gradlens-{uuid.uuid4()}",
        height=figure.layout.height or HEIGHT,
        figure=str(figure.to_json()).replace("<", "\\u003c"),  # no text of a run ends the script
        address=ADDRESS.format(version=get_plotlyjs_version()),
    )
    if _brought:
        return drawing
    _brought = True
    return f"<script>{get_plotlyjs()}</script>{drawing}"
