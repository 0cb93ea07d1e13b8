"""What a run recorded comes back as it was: quantities, columns, layers, absent groups and infinities."""

import json

import numpy as np
import pyarrow as pa
import pytest

from gradlens.runlog import Run, RunWriter
from tests.runlog.made import GROUPS, LAYERS, NAMES, cosine, measurement, meta, vectors_at, whole, write_run

STEPS = range(0, 400, 2)


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
