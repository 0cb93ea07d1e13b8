"""A sheet is laid out as plotly lays out its subplots."""

import plotly.graph_objects as go
import pytest
from plotly.subplots import make_subplots

from gradlens.figures._sheet import Sheet, scatter


@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (1, 2), (2, 2), (1, 4)])
@pytest.mark.parametrize("shared", [True, False])
def test_panels_lie_where_plotly_puts_them(rows, cols, shared):
    titles = [f"panel {i}" for i in range(rows * cols)]
    theirs = make_subplots(
        rows, cols, shared_xaxes="all", shared_yaxes=shared, horizontal_spacing=0.04, vertical_spacing=0.1, subplot_titles=titles
    )  # fmt: skip
    ours = Sheet(rows, cols, shared_yaxes=shared, horizontal_spacing=0.04, vertical_spacing=0.1, subplot_titles=titles)
    for row in range(1, rows + 1):
        for col in range(1, cols + 1):
            theirs.add_trace(go.Scatter(y=[row, col]), row=row, col=col)
            ours.add_trace(scatter(y=[row, col]), row=row, col=col)
            theirs.add_shape(type="rect", x0=0, x1=1, y0=0, y1=1, yref="y domain", row=row, col=col)
            ours.add_shape(type="rect", x0=0, x1=1, y0=0, y1=1, yref="y domain", row=row, col=col)
            theirs.add_annotation(text="here", x=1, y=1, yref="y domain", row=row, col=col)
            ours.add_annotation(text="here", x=1, y=1, yref="y domain", row=row, col=col)
    theirs.add_hline(0.5, row=rows, col=cols)
    ours.add_hline(0.5, row=rows, col=cols)
    theirs.update_xaxes(title_text="x", row=rows)
    ours.update_xaxes(title={"text": "x"}, row=rows)
    theirs.update_yaxes(tickfont={"size": 9}, col=1)
    ours.update_yaxes(tickfont={"size": 9}, col=1)
    a, b = theirs.to_dict(), ours.figure().to_dict()
    a["layout"].pop("template")
    b["layout"].pop("template")
    assert _rounded(a) == _rounded(b)


def test_what_plotly_does_not_know_is_refused():
    sheet = Sheet()
    sheet.update_layout(no_such_setting=1)
    with pytest.raises(ValueError, match="no_such_setting"):
        sheet.figure()


def _rounded(value):
    if isinstance(value, dict):
        return {key: _rounded(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(v) for v in value]
    return round(value, 9) if isinstance(value, float) else value
