"""Absent, not finite and zero are three things: hand-made runs, and the engines, through everything that reads and shows."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
import torch.nn.functional as F
from rich.console import Console
from torch import nn

from gradlens import ClassGroups, Lens, distortion
from gradlens.analysis.compare import compare
from gradlens.analysis.overview import overview
from gradlens.analysis.run_query import with_cards
from gradlens.figures import cosines
from gradlens.measure.pending_result import Plan
from gradlens.metrics.measurement import Measurement
from gradlens.metrics.packed import nonfinite_as_inf
from gradlens.reports.comparison import comparison_tables
from gradlens.reports.export import export
from gradlens.reports.html import render
from gradlens.reports.listing import runs_text
from gradlens.reports.summary import summary_table
from gradlens.runlog import Run, RunWriter
from gradlens.runlog.format.schema import KEY
from gradlens.runlog.format.text_proof import TEXT_KEY
from tests.runlog.made import LAYERS, measurement, meta, vectors_at

NAN, INF = float("nan"), float("inf")
GROUPS = ClassGroups.parse("head=0-1,tail=2-3", 4)
# Step by step: all finite, tail absent, tail not finite, all finite, head not finite, gradient zero.
WAYS = ("finite", "absent", "tail", "finite", "head", "zero")
SAID = "2 of 6 measured steps have a gradient that is not finite; means leave them out"


def made(step: int, way: str) -> Measurement:
    m = measurement(step, absent=("tail",) if way == "absent" else ())
    if way in ("head", "tail"):
        at = ("head", "tail").index(way)
        m.gram[at, :] = m.gram[:, at] = INF
        return replace(m, total_loss=NAN)
    return replace(m, gram=np.zeros((3, 3))) if way == "zero" else m


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("runs") / "run"
    with RunWriter(path, meta()) as writer:
        for step, way in enumerate(WAYS):
            writer.append(made(step, way))
    return Run(path)


def printed(*renderables: object, width: int = 200) -> str:
    file = io.StringIO()
    for renderable in renderables:
        Console(file=file, width=width).print(renderable)
    return " ".join(file.getvalue().split())


def whole(step: int) -> np.ndarray:
    return np.concatenate(vectors_at(step), axis=1)


def test_a_run_tells_the_three_apart(run: Run) -> None:
    head, tail = ([float(np.linalg.norm(whole(step)[k])) for step in range(6)] for k in (0, 1))
    both = [float(np.linalg.norm(whole(step).sum(0))) for step in range(6)]
    without_tail = float(np.linalg.norm(whole(1)[[0, 2]].sum(0)))
    np.testing.assert_allclose(run.norm("head"), [*head[:4], NAN, 0])
    np.testing.assert_allclose(run.norm("tail"), [tail[0], NAN, NAN, *tail[3:5], 0])
    np.testing.assert_allclose(run.norm("all"), [both[0], without_tail, NAN, both[3], NAN, 0])
    assert run.nonfinite().tolist() == [False, False, True, False, True, False]
    assert run.nonfinite("tail").tolist() == [False, False, True, False, False, False]
    assert run.nonfinite("head").tolist() == [False, False, False, False, True, False]
    assert np.isfinite(run.cosine("head")).tolist() == [True, True, False, True, False, False]
    assert np.isfinite(run.share("rest")).tolist() == [True, True, False, True, False, False]
    assert np.isfinite(run.conflict("head", "tail")).tolist() == [True, False, False, True, False, False]
    assert np.isfinite(run.share_distance()).tolist() == [True, True, False, True, False, False]
    with pytest.raises(KeyError, match="no vector 'medium'"):
        run.nonfinite("medium")


def test_a_measurement_tells_the_three_apart() -> None:
    absent, broken, zero = made(1, "absent"), made(2, "tail"), made(5, "zero")
    assert np.isnan([absent.norm("tail"), broken.norm("tail"), broken.norm(), broken.cosine("head")]).all()
    assert [m.nonfinite("tail") for m in (absent, broken, zero)] == [False, True, False]
    assert [m.nonfinite() for m in (absent, broken, zero)] == [False, True, False]
    assert (zero.norm("tail"), zero.norm()) == (0, 0)
    assert broken.norm("head") == pytest.approx(np.linalg.norm(whole(2)[0]))


def test_the_file_says_null_only_of_what_is_absent(run: Run) -> None:
    with pa.ipc.open_stream(run.path / "measurements-000.arrows") as stream:
        table = stream.read_all()
    rows = table["gram"].to_pylist()  # head-head, head-tail, head-rest, tail-tail, tail-rest, rest-rest
    assert [row[3] is None for row in rows] == [way == "absent" for way in WAYS]
    assert [row[3] == INF for row in rows] == [way == "tail" for way in WAYS]
    assert rows[5] == [0.0] * 6


def test_exports_leave_absent_cells_empty(run: Run, tmp_path: Path) -> None:
    export(run, "csv", tmp_path / "run.csv")
    head, *lines = (line.split(",") for line in (tmp_path / "run.csv").read_text().splitlines())
    column = {name.strip('"'): [line[place] for line in lines] for place, name in enumerate(head)}
    assert [value or "empty" for value in column["norm/tail"]][1:3] == ["empty", "nan"]
    assert float(column["norm/tail"][5]) == 0
    assert [column[name][2] for name in ("norm/all", "cosine/head", "share/rest", "share_distance")] == ["nan"] * 4
    assert [column[name][5] for name in ("cosine/head", "share/head", "cosine/tail")] == [""] * 3  # nothing to compare
    assert [column["total_loss"][row] for row in (2, 4)] == ["nan", "nan"]
    assert column["gram/tail:tail"][1:3] == ["", "inf"]
    parquet = pytest.importorskip("pyarrow.parquet")
    export(run, "parquet", tmp_path / "run.parquet")
    norms = parquet.read_table(tmp_path / "run.parquet")["norm/tail"].to_pylist()
    assert norms[1] is None
    assert np.isnan(norms[2])
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    export(run, "tensorboard", tmp_path / "board")
    events = accumulator.EventAccumulator(str(tmp_path / "board"), size_guidance={"scalars": 0})
    events.Reload()
    drawn = {event.step: event.value for event in events.Scalars("norm/tail")}
    assert sorted(drawn) == [0, 2, 3, 4, 5]
    assert np.isnan(drawn[2])


def test_everything_that_shows_a_run_counts_them(run: Run, tmp_path: Path) -> None:
    with RunWriter(tmp_path / "fine", meta()) as writer:
        for step in range(6):
            writer.append(measurement(step))
    fine = Run(tmp_path / "fine")
    assert SAID in printed(summary_table(run))
    assert SAID.partition(";")[0] in runs_text(*with_cards([(run.path, overview(run))]), width=200)
    assert f"run: {SAID}." in printed(*comparison_tables(run, fine))
    assert f"run: {SAID}." in render([run])
    assert f"run: {SAID}." in render([run, fine])
    for shown in (summary_table(fine), *comparison_tables(fine, fine)):
        assert "not finite" not in printed(shown)
    assert "not finite" not in runs_text(*with_cards([(fine.path, overview(fine))]))
    assert "not finite" not in render([fine])


def test_means_and_verdicts_leave_them_out(run: Run, tmp_path: Path) -> None:
    kept = [way for way in WAYS if way not in ("head", "tail")]
    with RunWriter(tmp_path / "kept", meta()) as writer:
        for step, way in enumerate(WAYS):
            if way in kept:
                writer.append(made(step, way))
    without = Run(tmp_path / "kept")
    assert distortion(run) == pytest.approx(distortion(without))
    assert overview(run).headline.distortion == pytest.approx(overview(without).headline.distortion)
    rows = {(row.group, row.quantity): row.a for row in compare(run, without).differences}
    there = [float(np.linalg.norm(whole(step)[1])) for step in (0, 3, 4)]
    assert rows["tail", "norm of the contribution"].value == pytest.approx(np.mean([*there, 0.0]))
    same = {(row.group, row.quantity): row.a for row in compare(without, run).differences}
    for quantity in ("norm of the overall gradient", "distortion"):
        assert rows["", quantity] == same["", quantity]


def test_a_figure_marks_them_where_it_has_a_gap(run: Run) -> None:
    texts = [note.text for note in cosines(run).layout.annotations]
    assert sum("gradient not finite" in text for text in texts) == 2
    assert [shape.x0 for shape in cosines(run).layout.shapes if shape.line.dash == "dot"] == [2, 4]


def test_one_layer_that_is_not_finite(tmp_path: Path) -> None:
    m = measurement(0, layers=True)
    assert m.layers is not None
    m.layers[1, 1, :] = m.layers[1, :, 1] = INF
    m.gram[1, :] = m.gram[:, 1] = INF
    with RunWriter(tmp_path / "run", meta(layer_names=LAYERS)) as writer:
        writer.append(m)
    run = Run(tmp_path / "run")
    assert run.nonfinite("tail").tolist() == [True]
    assert [run.nonfinite("tail", layer)[0] for layer in LAYERS] == [False, True]
    np.testing.assert_allclose(run.norm("tail", layer=LAYERS[0]), np.linalg.norm(vectors_at(0)[0][1]), rtol=1e-6)
    assert np.isfinite(run.by_layer("norm", "tail")).tolist() == [[True, False]]
    assert np.isfinite(run.by_layer("share", "head")).tolist() == [[True, False]]


def test_runs_of_earlier_versions_wrote_nan_as_absent(tmp_path: Path) -> None:
    """A group with samples was there: its NaN was a gradient that is not finite."""
    old = measurement(1)
    old.gram[:2, :] = old.gram[:, :2] = NAN
    old.gram[2, 2] = whole(1)[2] @ whole(1)[2]
    absent = measurement(2, absent=("tail",))
    with RunWriter(tmp_path / "run", meta()) as writer:
        writer.append(old)
        writer.append(absent)
    file = tmp_path / "run" / "measurements-000.arrows"
    with pa.ipc.open_stream(file.read_bytes()) as stream:
        facts, table = json.loads(stream.schema.metadata[KEY]), stream.read_all()
    assert facts.pop("not_finite") == "inf"  # what earlier versions did not say
    described = json.loads((tmp_path / "run" / "run.json").read_text())
    for proof in ("place", "run_id", TEXT_KEY, "id", "files", "pid_namespace"):  # nor this
        for known in (facts, facts["run"], described):
            known.pop(proof, None)
    (tmp_path / "run" / "run.json").write_text(json.dumps(described))
    with pa.ipc.new_stream(file, table.schema.with_metadata({KEY: json.dumps(facts)})) as stream:
        stream.write_table(table)
    run = Run(tmp_path / "run")
    assert run.warnings == ()
    assert np.isfinite(run.norm("all")).tolist() == [False, True]
    assert run.nonfinite("tail").tolist() == [True, False]
    packed = np.full((1, 6), NAN)
    assert np.isnan(nonfinite_as_inf(packed, ("head", "tail", "rest"), ("head", "tail"), np.zeros((1, 2)))).all()


def test_infinite_terms_do_not_cancel() -> None:
    """Products of a head of [inf, 1], a tail of [1, 2] and their sum, as the device has them: inf - inf is NaN."""
    vectors = np.array([[1.0, 2.0], [0.0, 0.0], [INF, 3.0]])  # tail, rest, total; head is the difference
    with np.errstate(invalid="ignore"):
        products = (vectors @ vectors.T)[None]
    (found,) = Plan(size=3, computed=(1, 2), difference=0, update=None).expand(products)
    assert found[1, 1] == 5
    assert found[0].tolist() == [INF] * 3
    assert found[1:, 1:].tolist() == [[5, 0], [0, 0]]


def test_steps_under_a_gradient_scaler_are_said_to_be_usual(tmp_path: Path) -> None:
    """A fused optimizer is called, and skips the step by itself, where the scaled loss overflows."""
    torch.manual_seed(0)
    model = nn.Linear(8, 4)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    x, y = torch.randn(4, 16, 8), torch.arange(16) % 4
    with Lens(model, GROUPS, out=tmp_path / "run", optimizer=optimizer, every=1, strict=True) as lens:
        for part in x:
            lens.backward(scaler.scale(4 * F.cross_entropy(model(part), y)), y)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
    run = Run(tmp_path / "run")
    skipped = [True, *(run.total_loss[1:] == INF)]
    assert run.nonfinite().tolist() == skipped
    assert 0 < sum(skipped) < len(skipped)
    assert "usual under a gradient scaler, which skips such steps" in printed(summary_table(run))


def truth(model: nn.Module, x: torch.Tensor, y: torch.Tensor, w: torch.Tensor) -> dict[str, float]:
    """Norms of the groups and of the gradient, each from a backward pass of its own over the loss of its rows."""
    found = {}
    for name, rows in (("head", y < 2), ("tail", y >= 2), ("all", y >= 0)):
        model.zero_grad()
        (F.cross_entropy(model(x), y, reduction="none")[rows] * w[rows]).sum().div(len(y)).backward()
        found[name] = float(sum(p.grad.double().square().sum() for p in model.parameters()) ** 0.5)
    model.zero_grad()
    return found


@pytest.mark.parametrize("engine", ["masked", "split", "func"])
@pytest.mark.parametrize("bad", [NAN, INF])
@pytest.mark.parametrize("row", [15, 0])  # of the tail, which is pulled back, and of the head, which is a difference
def test_a_weight_that_is_not_finite(engine: str, bad: float, row: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.randn(64, 8), torch.tensor([0] * 40 + [1] * 16 + [2] * 5 + [3] * 3)
    expected = []
    with Lens(model, GROUPS, out=tmp_path / "run", optimizer=optimizer, every=1, engine=engine, strict=True) as lens:
        for step in range(6):
            rows = torch.cat([torch.randperm(56)[:14], 56 + torch.randperm(8)[:2]])
            w = torch.ones(16)
            w[row] = bad if step in (2, 4) else 1.0
            expected.append(truth(model, x[rows], y[rows], w))
            lens.backward((F.cross_entropy(model(x[rows]), y[rows], reduction="none") * w).mean(), y[rows])
            for p in model.parameters():
                assert p.grad is not None
                p.grad = torch.nan_to_num(p.grad, 0, 0, 0)
            optimizer.step()
            optimizer.zero_grad()
    run = Run(tmp_path / "run")
    for name in ("head", "tail", "all"):
        norms = [e[name] if np.isfinite(e[name]) else NAN for e in expected]
        np.testing.assert_allclose(run.norm(name), norms, rtol=1e-5, err_msg=name)
        assert run.nonfinite(name).tolist() == [not np.isfinite(e[name]) for e in expected]
    assert np.isnan([e["all"] for e in expected]).tolist() == [False, False, True, False, True, False]
    assert [e["message"] for e in run.events if e["kind"] == "nonfinite"] == [
        f"the loss is {bad}, the gradient is not finite"
    ] * 2
