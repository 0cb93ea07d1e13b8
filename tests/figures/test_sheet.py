"""A sheet is laid out as plotly lays out its subplots, and says to the browser what plotly's figure says."""

import base64
import json

import numpy as np
import plotly.graph_objects as go
import pytest
from plotly.subplots import make_subplots

from gradlens import figures
from gradlens.analysis.per_class import class_measurements
from gradlens.figures._sheet import Sheet, heatmap, scatter
from gradlens.runlog import Run
from tests.dashboard_runs import make_folder


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


def test_json_holds_the_numbers_that_plotly_would_send():
    sheet = Sheet()
    sheet.add_trace(
        scatter(
            x=np.array([1, 2, 2**40]), y=np.array([0.5, np.nan, -1]), customdata=[float("nan"), "<b>", None],
            marker={"size": np.array([1, 2, 3], dtype=np.float32)}, name="é",
        )
    )  # fmt: skip
    sheet.add_trace(heatmap(z=np.arange(6.0).reshape(2, 3)[:, ::-1], x=np.array(["a", "b", "c"])))
    sheet.update_xaxes(range=(np.float64(0), np.int64(3)), tickvals=np.array([0, 1]))
    first, second = json.loads(sheet.json())["data"]
    np.testing.assert_array_equal(_numbers(first["x"]), [1, 2, 2**40])
    np.testing.assert_array_equal(_numbers(first["y"]), [0.5, np.nan, -1])
    np.testing.assert_array_equal(_numbers(second["z"]), [[2, 1, 0], [5, 4, 3]])
    assert first["customdata"] == [None, "<b>", None]
    assert _numbered(json.loads(sheet.json())) == _numbered(json.loads(sheet.figure().to_json()))


def test_every_figure_says_the_same_with_and_without_plotly(tmp_path):
    make_folder(tmp_path)
    run, other = Run(tmp_path / "dual"), Run(tmp_path / "lt")
    probe = class_measurements(Run(tmp_path / "classes"))[-1]
    one = ("cosines", "norms", "shares", "conflicts", "losses", "accuracies", "update_cosines", "component_norms")
    drawn = [(getattr(figures, name), (run,)) for name in one]
    drawn += [(figures.cosines, (Run(tmp_path / "classes"),)), (figures.layer_heatmap, (other,))]
    drawn += [(figures.layer_curves, (other, other.layers[0])), (figures.figure1, (run, other))]
    drawn += [(figures.distortion_curves, ([run, other],)), (figures.evaluations, ([run, other],))]
    drawn += [(figures.class_cosines, (probe,)), (figures.class_shares, (probe,))]
    for draw, arguments in drawn:
        ours, theirs = json.loads(draw.sheet(*arguments).json()), json.loads(draw(*arguments).to_json())
        assert _numbered(ours) == _numbered(theirs), draw.__name__


def _numbers(packed):
    values = np.frombuffer(base64.b64decode(packed["bdata"]), packed["dtype"])
    return values.reshape([int(n) for n in packed["shape"].split(",")]) if "shape" in packed else values


def _numbered(value):
    """Returns a figure's JSON with plain numbers in it, whatever way they were written, and without the empty template."""
    if isinstance(value, dict) and "bdata" in value:
        return _numbered(_numbers(value).tolist())
    if isinstance(value, dict):
        return {key: _numbered(v) for key, v in value.items() if key != "template" and v is not None}
    if isinstance(value, (list, tuple)):
        return [_numbered(v) for v in value]
    return repr(float(value)) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _rounded(value):
    if isinstance(value, dict):
        return {key: _rounded(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(v) for v in value]
    return round(value, 9) if isinstance(value, float) else value
