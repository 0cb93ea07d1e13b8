"""What a training measured is what a reader sees: against the gradient vectors themselves, and through Arrow's own reader."""

import json
import sys

import numpy as np
import pyarrow as pa
import pytest

from gradlens.runlog import Mark, Phase, Run, RunError, RunMeta, RunWriter
from tests.runlog.made import GROUPS, LAYERS, NAMES, measurement, meta, vectors_at, write_run

STEPS = range(0, 400, 2)


def whole(step, V=3):
    return np.concatenate(vectors_at(step, V), axis=1)  # [V, parameters]


def cosine(a, b):
    return a @ b / np.sqrt((a @ a) * (b @ b))


def test_quantities_are_those_of_the_vectors(tmp_path):
    write_run(tmp_path / "run", STEPS)
    run = Run(tmp_path / "run")
    assert run.steps.dtype == np.int64
    assert run.steps.tolist() == list(STEPS)
    for v, name in enumerate(NAMES):
        of = [(whole(s)[v], whole(s).sum(0)) for s in STEPS]
        np.testing.assert_allclose(run.cosine(name), [cosine(g, total) for g, total in of], rtol=1e-9)
        np.testing.assert_allclose(run.norm(name), [np.linalg.norm(g) for g, _ in of], rtol=1e-9)
        np.testing.assert_allclose(run.share(name), [g @ total / (total @ total) for g, total in of], rtol=1e-9)
    np.testing.assert_allclose(run.norm(), [np.linalg.norm(whole(s).sum(0)) for s in STEPS], rtol=1e-9)
    np.testing.assert_allclose(run.norm("tail", per="mean"), run.norm("tail") * 8 / 2, rtol=1e-12)
    np.testing.assert_allclose(run.norm("rest", per="mean"), run.norm("rest"))
    np.testing.assert_allclose(run.conflict("head", "tail"), [cosine(*whole(s)[:2]) for s in STEPS], rtol=1e-9)
    np.testing.assert_allclose(sum(run.share(name) for name in NAMES), 1, rtol=1e-9)
    # Classes are 3 to 1, so undistorted shares would be 0.75 and 0.25.
    by_hand = 0.5 * (abs(run.share("head") - 0.75) + abs(run.share("tail") - 0.25))
    np.testing.assert_allclose(run.share_distance(), by_hand, rtol=1e-9)


def test_columns_come_back_exactly(tmp_path):
    write_run(tmp_path / "run", STEPS)
    run, ms = Run(tmp_path / "run"), [measurement(s) for s in STEPS]
    np.testing.assert_array_equal(run.gram(), [m.gram for m in ms])
    np.testing.assert_array_equal(run.epoch, [np.nan if m.epoch is None else m.epoch for m in ms])
    for column in ("time", "counts", "loss", "correct", "residual", "total_loss", "seconds"):
        np.testing.assert_array_equal(getattr(run, column), [getattr(m, column) for m in ms])
    np.testing.assert_array_equal(run.gram(rows=slice(70, 75)), run.gram()[70:75])
    assert run.names == NAMES
    assert run.groups == GROUPS
    assert (run.layers, run.components, run.has_update) == ((), (), False)
    with pytest.raises(ValueError, match="read-only"):
        run.cosine("tail")[0] = 0


def test_layers(tmp_path):
    write_run(tmp_path / "run", STEPS, layers=True)
    run = Run(tmp_path / "run")
    assert run.layers == LAYERS
    for index, layer in enumerate(LAYERS):
        parts = [vectors_at(s)[index] for s in STEPS]
        expected = [cosine(v[1], v.sum(0)) for v in parts]
        np.testing.assert_allclose(run.cosine("tail", layer), expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(run.gram(layer), [v @ v.T for v in parts], rtol=1e-5, atol=1e-5)
        rows = run.sample(17)
        assert (rows[0], rows[-1], len(rows)) == (0, len(STEPS) - 1, 17)
        np.testing.assert_allclose(
            run.by_layer("cosine", "tail", rows)[:, index], np.array(expected)[rows], rtol=1e-4, atol=1e-5
        )
        np.testing.assert_allclose(run.by_layer("norm", "head")[:, index], run.norm("head", layer=layer), rtol=1e-12)
    with pytest.raises(KeyError, match=r"no layer 'conv9'.*conv, fc"):
        run.cosine("tail", "conv9")


def test_absent_groups_are_null_on_disk_and_nan_in_memory(tmp_path):
    writer = RunWriter(tmp_path / "run", meta(layer_names=LAYERS))
    writer.append(measurement(1, layers=True))
    writer.append(measurement(2, layers=True, absent=("tail",)))
    writer.append(measurement(3))  # no layers at this step
    writer.append(measurement(7, layers=True))
    writer.close()
    run = Run(tmp_path / "run")
    assert np.isnan(run.cosine("tail")).tolist() == [False, True, False, False]
    assert np.isnan(run.share("tail")).tolist() == [False, True, False, False]
    assert np.isnan(run.norm("tail", "mean")).tolist() == [False, True, False, False]
    assert np.isnan(run.cosine("tail", "fc")).tolist() == [False, True, True, False]
    present = whole(2)[[0, 2]]  # without the tail the gradient is what is left
    np.testing.assert_allclose(run.cosine("head")[1], cosine(present[0], present.sum(0)), rtol=1e-9)
    # An absent group did not steer: its share is 0 in the distortion.
    np.testing.assert_allclose(run.share_distance()[1], 0.5 * (abs(run.share("head")[1] - 0.75) + 0.25), rtol=1e-9)

    table = pa.ipc.open_stream(tmp_path / "run" / "measurements-000.arrows").read_all()
    assert table["gram"][1].as_py() == pytest.approx(
        [run.gram()[1, 0, 0], None, run.gram()[1, 0, 2], None, None, run.gram()[1, 2, 2]]
    )
    assert table["layers"].is_null().to_pylist() == [False, False, True, False]
    assert table["epoch"].to_pylist() == [0, 0, 0, None]
    assert table["loss"][0].as_py()[0] == 0.25
    assert table.schema.field("gram").type == pa.list_(pa.float64(), 6)
    assert table.schema.field("layers").type == pa.list_(pa.float32(), 12)
    facts = json.loads(table.schema.metadata[b"gradlens"])
    assert (facts["names"], facts["layer_names"], facts["groups"]) == (list(NAMES), list(LAYERS), ["head", "tail"])


def test_loss_components_add_up_to_groups_and_may_begin_in_a_later_phase(tmp_path):
    split = ("ce/head", "ce/tail", "keep/head", "keep/tail", "rest", "update")
    writer = RunWriter(tmp_path / "run", meta())
    writer.append(measurement(1))
    writer.append(measurement(2, names=split, absent=("keep/tail",)))
    writer.append(measurement(3))
    writer.close()
    run = Run(tmp_path / "run")
    assert run.steps.tolist() == [1, 2, 3]
    assert run.names == ("head", "tail", "ce/head", "ce/tail", "keep/head", "keep/tail", "rest", "update")
    assert run.components == ("ce", "keep")
    assert run.has_update
    g = whole(2, 6)
    total = g[[0, 1, 2, 4]].sum(0)
    expected = {
        "head": g[0] + g[2],
        "tail": g[1],
        "ce": g[0] + g[1],
        "keep": g[2],
        "keep/head": g[2],
        "rest": g[4],
        "update": g[5],
    }
    for name, vector in expected.items():
        np.testing.assert_allclose(run.cosine(name)[1], cosine(vector, total), rtol=1e-9, err_msg=name)
        np.testing.assert_allclose(run.norm(name)[1], np.linalg.norm(vector), rtol=1e-9, err_msg=name)
    np.testing.assert_allclose(run.conflict("head", "keep")[1], cosine(g[0] + g[2], g[2]), rtol=1e-9)
    assert np.isnan(run.cosine("keep/tail")).all()
    assert np.isnan(run.cosine("ce")).tolist() == [True, False, True]
    np.testing.assert_allclose(run.cosine("head")[0], cosine(whole(1)[0], whole(1).sum(0)), rtol=1e-9)
    shares = np.array([expected[k] @ total / (total @ total) for k in ("head", "tail")])
    np.testing.assert_allclose(run.share_distance()[1], 0.5 * abs(shares - [0.75, 0.25]).sum(), rtol=1e-9)
    gram = run.gram()
    np.testing.assert_allclose(gram[1, run.names.index("ce/head"), run.names.index("update")], g[0] @ g[5], rtol=1e-9)
    assert np.isnan(gram[1, 0]).all()


def test_infinite_entries_stay_where_they_are(tmp_path):
    writer = RunWriter(tmp_path / "run", meta())
    m = measurement(1)
    m.gram[0, 0] = np.inf
    writer.append(m)
    writer.close()
    run = Run(tmp_path / "run")
    assert np.isnan(run.norm("head")).all()
    assert run.nonfinite("head").all()
    assert not run.nonfinite("tail").any()
    np.testing.assert_allclose(run.norm("tail"), np.linalg.norm(whole(1)[1]))
    np.testing.assert_allclose(run.conflict("tail", "rest"), cosine(whole(1)[1], whole(1)[2]))


def test_events_phases_marks_and_evaluations(tmp_path):
    writer = RunWriter(tmp_path / "run", meta())
    writer.event("phase", 0, name="I")
    writer.event("evaluation", 50, overall=0.5, many=np.float32(0.75), few=float("nan"))
    writer.event("phase", 100, name="II")
    writer.event("mark", 120, text="learning rate / 10")
    writer.event("note", text="\u2028 odd \ud800 text\n")
    writer.close()
    run = Run(tmp_path / "run")
    assert run.phases == [Phase("I", 0, 100), Phase("II", 100, None)]
    assert run.marks == [Mark(120, "learning rate / 10")]
    (evaluation,) = run.evaluations
    assert {k: evaluation[k] for k in ("step", "overall", "many", "few")} == {
        "step": 50,
        "overall": 0.5,
        "many": 0.75,
        "few": None,
    }
    assert [e["kind"] for e in run.events] == ["phase", "evaluation", "phase", "mark", "note"]
    assert run.events[-1]["text"] == "\u2028 odd ? text\n"
    assert run.warnings == ()


def test_an_empty_run_opens(tmp_path):
    RunWriter(tmp_path / "run", meta(names=(*NAMES, "update"))).close()
    run = Run(tmp_path / "run")
    assert len(run) == 0
    assert run.names == (*NAMES, "update")
    for array in (run.steps, run.time, run.cosine("tail"), run.norm("update"), run.share_distance(), run.sample(10)):
        assert array.shape == (0,)
    assert run.gram().shape == (0, 4, 4)
    assert run.counts.shape == (0, 2)
    assert run.by_layer("cosine", "tail").shape == (0, 0)
    assert (run.phases, run.marks, run.evaluations, run.probes) == ([], [], [], [])


def test_description_comes_back(tmp_path):
    facts = RunMeta.here(
        GROUPS.to_json(),
        seed=3,
        engine="split",
        class_counts=(5.0, 4.0, 3.0, 1.0),
        hyperparameters={"lr": 0.1, "bad": float("inf")},
    )
    writer = RunWriter(tmp_path / "run", facts)
    writer.update_meta(timings={"plain": 0.5}, dataset="digits")
    writer.update_meta(timings={"measured": 0.75})
    writer.close("failed", "ValueError: no")
    run = Run(tmp_path / "run")
    assert (run.meta.seed, run.meta.engine, run.meta.dataset, run.meta.class_counts) == (
        3,
        "split",
        "digits",
        (5.0, 4.0, 3.0, 1.0),
    )
    assert run.meta.timings == {"plain": 0.5, "measured": 0.75}
    assert run.meta.hyperparameters == {"lr": 0.1, "bad": None}
    assert run.meta.torch
    assert (run.status.state, run.status.reason, run.status.live) == ("failed", "ValueError: no", False)
    assert run.meta.started <= run.meta.ended


def test_rows_that_do_not_fit_are_refused_whole(tmp_path):
    writer = RunWriter(tmp_path / "run", meta(layer_names=LAYERS))
    good, bad = measurement(1), measurement(2)
    object.__setattr__(bad, "counts", np.ones(3))
    with pytest.raises(RunError, match=r"step 2: counts has shape \(3,\); 2 groups \(head, tail\) need \(2,\)"):
        writer.append_many([good, bad])
    object.__setattr__(bad, "counts", np.ones(2))
    object.__setattr__(bad, "gram", np.ones((2, 2)))
    with pytest.raises(RunError, match=r"gram has shape \(2, 2\)"):
        writer.append(bad)
    object.__setattr__(bad, "gram", np.ones((3, 3)))
    object.__setattr__(bad, "layers", np.ones((5, 3, 3), dtype=np.float32))
    with pytest.raises(RunError, match="5 layers measured, but the run names 2"):
        writer.append(bad)
    with pytest.raises(RunError, match="colour"):
        writer.update_meta(colour="red")
    writer.append(measurement(3))
    writer.close()
    writer.close()
    with pytest.raises(RunError, match="is closed"):
        writer.append(good)
    assert Run(tmp_path / "run").steps.tolist() == [3]


def test_the_caller_may_reuse_its_arrays(tmp_path):
    writer = RunWriter(tmp_path / "run", meta(layer_names=LAYERS))
    m = measurement(1, layers=True)
    expected = m.gram.copy()
    writer.append(m)
    for array in (m.gram, m.layers, m.counts, m.loss, m.correct):
        array[:] = -1
    writer.close()
    run = Run(tmp_path / "run")
    np.testing.assert_array_equal(run.gram()[0], expected)
    assert (run.layers, run.counts.tolist()) == (LAYERS, [[6.0, 2.0]])
    assert (run.gram("fc") > -1).any()


def test_names_that_are_not_there_are_named(tmp_path):
    write_run(tmp_path / "run", [1])
    run = Run(tmp_path / "run")
    with pytest.raises(KeyError, match=r"no vector 'medium'.*head, tail, rest"):
        run.cosine("medium")
    with pytest.raises(KeyError, match="track with --layers"):
        run.gram("fc")
    with pytest.raises(ValueError, match="'contribution' or 'mean'"):
        run.norm("tail", per="sample")
    with pytest.raises(ValueError, match="share, cosine, norm"):
        run.by_layer("angle", "tail")


def test_writing_imports_neither_pandas_nor_torch(tmp_path):
    import subprocess

    code = (
        "import sys; from pathlib import Path; from tests.runlog.made import write_run; from gradlens.runlog import Run;"
        f"write_run(Path({str(tmp_path / 'run')!r}), range(100), layers=True); Run({str(tmp_path / 'run')!r}).cosine('tail');"
        "print(sorted({'pandas', 'torch', 'plotly'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
