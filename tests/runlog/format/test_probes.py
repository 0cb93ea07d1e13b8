"""Probes: whole-data measurements with groups of their own."""

import numpy as np
import pyarrow as pa
import pytest

from gradlens.groups import ClassGroups
from gradlens.runlog import Run, RunError, RunWriter
from tests.runlog.made import GROUPS, LAYERS, meta, write_run

CLASSES = ClassGroups.per_class(5)


def gram_of(seed, V=6):
    g = np.random.default_rng(seed).normal(size=(V, 9))
    return g @ g.T


def add(writer, step, seed, **options):
    facts = {"groups": CLASSES.to_json(), "layers": None, "names": [*CLASSES.names, "rest"], "gram": gram_of(seed)}
    counts = np.arange(5.0)
    writer.probe(
        step=step, epoch=2, counts=counts, loss=counts / 2, correct=counts - 1, seconds=1.5, **{**facts, **options}
    )


def test_probes_come_back(tmp_path):
    writer = RunWriter(tmp_path, meta(layer_names=LAYERS))
    layers = np.stack([gram_of(7), gram_of(8)])
    layers[0, 2, :] = layers[0, :, 2] = np.nan
    add(writer, 10, 0, label="train")
    add(writer, 5, 1, layers=layers)
    writer.close()
    early, late = Run(tmp_path).probes
    assert (early.step, early.epoch, early.label, late.step, late.label) == (5, 2, None, 10, "train")
    assert repr(early) == "Probe(step 5, epoch 2; 10 samples in 5 groups)"
    assert repr(late) == "Probe('train', step 10, epoch 2; 10 samples in 5 groups)"
    assert late.groups == CLASSES
    assert late.names == (*CLASSES.names, "rest")
    np.testing.assert_array_equal(late.gram, gram_of(0))
    np.testing.assert_array_equal(late.counts, np.arange(5))
    np.testing.assert_array_equal(late.measurement.loss, np.arange(5) / 2)
    assert late.measurement.seconds == 1.5
    assert late.measurement.layers is None
    assert early.layer_names == LAYERS
    np.testing.assert_array_equal(early.measurement.layers, layers.astype(np.float32))
    g = np.random.default_rng(0).normal(size=(6, 9))
    expected = g[3] @ g.sum(0) / np.linalg.norm(g[3]) / np.linalg.norm(g.sum(0))
    assert late.measurement.cosine("3") == pytest.approx(expected)
    with pa.ipc.open_file(tmp_path / "probes-000.arrow") as file:
        assert file.get_batch(0)["step"].to_pylist() == [10]


def test_probes_are_followed_and_superseded(tmp_path):
    writer = write_run(tmp_path, range(0, 50, 10), close=False)
    run = Run(tmp_path)
    assert run.probes == []
    add(writer, 20, 0)
    add(writer, 40, 1)
    writer.flush()
    assert run.refresh()
    assert [probe.step for probe in run.probes] == [20, 40]
    writer.close()
    writer = write_run(tmp_path, range(30, 50, 10), close=False, resume=True)
    add(writer, 45, 2)
    writer.close()
    run.refresh()
    assert [probe.step for probe in run.probes] == [20, 45]


@pytest.mark.parametrize("damage", [b"", b"ARROW1", b"garbage" * 100, None])
def test_a_damaged_probe_is_left_out_with_a_warning(tmp_path, damage):
    writer = write_run(tmp_path, [1], close=False)
    add(writer, 1, 0)
    add(writer, 2, 1)
    writer.close()
    data = (tmp_path / "probes-000.arrow").read_bytes()
    (tmp_path / "probes-000.arrow").write_bytes(data[: len(data) // 2] if damage is None else damage)
    run = Run(tmp_path)
    assert [probe.step for probe in run.probes] == [2]
    assert len(run.warnings) == 1
    assert "probes-000.arrow is damaged" in run.warnings[0]


def test_flipped_bytes_in_a_probe_never_crash(tmp_path):
    writer = write_run(tmp_path, [1], close=False)
    add(writer, 1, 0)
    writer.close()
    data = (tmp_path / "probes-000.arrow").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(150):
        broken, at = bytearray(data), int(rng.integers(len(data)))
        broken[at : at + 4] = rng.bytes(4)
        (tmp_path / "probes-000.arrow").write_bytes(broken)
        run = Run(tmp_path)
        assert len(run.probes) + len(run.warnings) == 1
        assert len(run) == 1


def test_a_probe_that_does_not_fit_is_refused_at_once(tmp_path):
    writer = RunWriter(tmp_path, meta(layer_names=LAYERS))
    with pytest.raises(RunError, match=r"gram has shape \(4, 4\)"):
        add(writer, 1, 0, gram=np.eye(4))
    with pytest.raises(RunError, match="3 layers measured, but the run names 2"):
        add(writer, 1, 0, layers=np.ones((3, 6, 6)))
    with pytest.raises(RunError, match=r"counts has shape \(5,\); 2 groups"):
        add(writer, 1, 0, groups=GROUPS.to_json())
    writer.close()
    assert Run(tmp_path).probes == []
