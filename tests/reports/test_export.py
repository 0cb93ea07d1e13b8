"""Exports, read back by the tools they are for."""

import sys

import numpy as np
import pytest

from gradlens.reports.export import export
from gradlens.runlog import Run, RunError, RunWriter
from tests.runlog.made import measurement, meta

pandas = pytest.importorskip("pandas")


@pytest.fixture
def run(tmp_path):
    writer = RunWriter(tmp_path / "run", meta())
    writer.event("phase", 0, name="I")
    writer.event("phase", 4, name="II")
    for step in range(0, 14, 2):
        absent = ("tail",) if step == 6 else ()
        writer.append(measurement(step, names=("head", "tail", "rest", "update"), absent=absent))
    writer.close()
    return Run(tmp_path / "run")


def check(table, run):
    assert table["step"].tolist() == list(range(0, 14, 2))
    np.testing.assert_array_equal(table["time"], 1e9 + table["step"])
    assert table["phase"].tolist() == ["I"] * 2 + ["II"] * 5
    np.testing.assert_array_equal(table["epoch"].isna(), table["step"] % 7 == 0)
    assert table["cosine/tail"].isna().tolist() == [s == 6 for s in range(0, 14, 2)]
    assert table["gram/tail:update"].isna().tolist() == [s == 6 for s in range(0, 14, 2)]
    for row, step in enumerate(range(0, 14, 2)):
        m = measurement(step, names=run.names, absent=("tail",) if step == 6 else ())
        for name in ("head", "tail", "rest"):
            for kind in ("cosine", "norm", "share"):
                np.testing.assert_allclose(
                    table[f"{kind}/{name}"][row], getattr(m, kind)(name), rtol=1e-9, err_msg=f"{kind} {name}"
                )
        np.testing.assert_allclose(table["mean_norm/tail"][row], m.norm("tail", "mean"), rtol=1e-9)
        np.testing.assert_allclose(table["norm/all"][row], m.norm(), rtol=1e-9)
        np.testing.assert_allclose(table["gram/head:update"][row], m.gram[0, 3], rtol=1e-12)
    np.testing.assert_allclose(table["share_distance"], run.share_distance(), rtol=1e-12)
    np.testing.assert_array_equal(table["count/head"], 6)
    assert "share/update" not in table
    assert table["loss/tail"].isna().all()


def test_parquet(run, tmp_path):
    assert export(run, "parquet", tmp_path / "new" / "run.parquet") == tmp_path / "new" / "run.parquet"
    check(pandas.read_parquet(tmp_path / "new" / "run.parquet"), run)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["run.parquet"]


def test_csv(run, tmp_path):
    export(run, "csv", tmp_path / "run.csv")
    check(pandas.read_csv(tmp_path / "run.csv"), run)


def test_parts_make_one_table(run, tmp_path, monkeypatch):
    monkeypatch.setattr("gradlens.reports.export.CHUNK", 3)
    export(run, "parquet", tmp_path / "run.parquet")
    check(pandas.read_parquet(tmp_path / "run.parquet"), run)
    export(run, "csv", tmp_path / "run.csv")
    check(pandas.read_csv(tmp_path / "run.csv"), run)


def test_tensorboard(run, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    export(run, "tensorboard", tmp_path / "board")
    events = accumulator.EventAccumulator(str(tmp_path / "board"), size_guidance={"scalars": 0})
    events.Reload()
    found = events.Scalars("cosine/tail")
    present = ~np.isnan(run.cosine("tail"))
    assert [e.step for e in found] == run.steps[present].tolist()
    np.testing.assert_allclose([e.value for e in found], run.cosine("tail")[present], rtol=1e-6)
    np.testing.assert_allclose([e.wall_time for e in found], run.time[present])
    assert {"norm/all", "share/head", "loss/head", "share_distance", "residual"} <= set(events.Tags()["scalars"])
    assert not any(tag.startswith("gram/") for tag in events.Tags()["scalars"])


def test_tensorboard_that_is_missing_names_the_extra(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.summary_pb2", None)
    with pytest.raises(RunError, match=r"needs the package tensorboard.*pip install -e '\.\[dev\]'"):
        export(run, "tensorboard", tmp_path / "board")


def test_an_empty_run(tmp_path):
    RunWriter(tmp_path / "run", meta()).close()
    run = Run(tmp_path / "run")
    export(run, "parquet", tmp_path / "run.parquet")
    assert len(pandas.read_parquet(tmp_path / "run.parquet")) == 0
    export(run, "csv", tmp_path / "run.csv")
    assert "cosine/tail" in pandas.read_csv(tmp_path / "run.csv").columns


def test_what_cannot_be_exported(run, tmp_path, monkeypatch):
    with pytest.raises(RunError, match="'excel'; choose one of parquet, csv, tensorboard"):
        export(run, "excel", tmp_path / "run.xlsx")
    (tmp_path / "there.csv").write_text("mine")
    with pytest.raises(RunError, match="already exists"):
        export(run, "csv", tmp_path / "there.csv")
    assert (tmp_path / "there.csv").read_text() == "mine"
    with pytest.raises(RunError, match="cannot write"):
        export(run, "csv", tmp_path / "there.csv" / "below.csv")
    export(run, "csv", tmp_path / "there.csv", overwrite=True)
    check(pandas.read_csv(tmp_path / "there.csv"), run)

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyarrow.csv.CSVWriter", fail)
    with pytest.raises(RunError, match=r"cannot write .*other\.csv: No space left"):
        export(run, "csv", tmp_path / "other.csv")
    assert not [path for path in tmp_path.iterdir() if "other" in path.name]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_what_the_training_logged_stands_in_a_second_file(tmp_path, kind):
    writer = RunWriter(tmp_path / "run", meta())
    writer.append(measurement(0))
    writer.log(0, {"lr": 0.5})
    writer.log(3, {"lr": 0.25, "val/loss": float("nan")})
    writer.close()
    run, out = Run(tmp_path / "run"), tmp_path / f"table.{kind}"
    export(run, kind, out)
    read = pandas.read_csv if kind == "csv" else pandas.read_parquet
    assert len(read(out)) == 1
    second = read(tmp_path / f"table-logged.{kind}")
    assert second["name"].tolist() == ["lr", "lr", "val/loss"]
    assert second["step"].tolist() == [0, 3, 3]
    np.testing.assert_array_equal(second["value"], [0.5, 0.25, np.nan])
    np.testing.assert_array_equal(second["time"][:2], run.logged("lr").time)
    out.unlink()
    with pytest.raises(RunError, match=rf"table-logged\.{kind} already exists"):
        export(run, kind, out)
    assert not out.exists()
