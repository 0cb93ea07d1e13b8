"""A run that is read while it is written, from any number of threads."""

import threading

import numpy as np

from gradlens.runlog import Run, RunWriter
from tests.runlog.made import LAYERS, measurement, meta, write_run


def test_a_snapshot_keeps_its_length_while_others_refresh(tmp_path):
    writer = write_run(tmp_path / "run", range(10), close=False)
    run = Run(tmp_path / "run")
    snapshot = run.snapshot()
    early = snapshot.cosine("tail")
    writer.append_many([measurement(step) for step in range(10, 30)])
    writer.flush()
    assert snapshot.refresh() is False
    assert run.refresh() is True
    assert run.cosine("tail").shape == (30,)
    assert {
        len(a) for a in (snapshot, snapshot.steps, snapshot.gram(), snapshot.norm("head", "mean"), snapshot.counts)
    } == {10}
    np.testing.assert_array_equal(snapshot.cosine("tail"), early)
    assert snapshot.sample(100).tolist() == list(range(10))
    assert snapshot.by_layer("norm", "tail").shape == (10, 0)
    assert run.snapshot().steps.tolist() == list(range(30))
    writer.close()
    # Not even a resumed training, which takes steps back, changes what was there.
    write_run(tmp_path / "run", range(5, 8), resume=True)
    assert run.refresh() is True
    assert run.steps.tolist() == list(range(8))
    assert snapshot.steps.tolist() == list(range(10))
    np.testing.assert_allclose(snapshot.share("tail"), [measurement(s).share("tail") for s in range(10)], rtol=1e-9)


def test_many_threads_write_and_many_read(tmp_path):
    writer = RunWriter(tmp_path / "run", meta(layer_names=LAYERS))
    lock, failures, done = threading.Lock(), [], threading.Event()
    steps = iter(range(1, 3000))

    def write():
        try:
            while True:
                with lock:
                    step = next(steps, None)
                    if step is None:
                        return
                    writer.append(measurement(step, layers=step % 3 > 0))
                if step % 100 == 0:
                    writer.event("mark", step, text=str(step))
                    writer.flush()
        except Exception as error:
            failures.append(error)

    def read(run):
        try:
            while not done.is_set():
                run.refresh()
                curve = run.cosine("tail")
                run.cosine("tail", "fc")
                assert len(run.steps) >= len(curve)
                assert (np.diff(run.steps) == 1).all()
                assert not np.isnan(curve).any()
        except Exception as error:
            failures.append(error)

    writer.flush()
    run = Run(tmp_path / "run")
    writer.append(measurement(0, layers=True))  # layers are there before anybody asks for them
    writer.flush()
    run.refresh()
    writers = [threading.Thread(target=write) for _ in range(3)]
    readers = [threading.Thread(target=read, args=(run,)) for _ in range(3)]
    for thread in [*writers, *readers]:
        thread.start()
    for thread in writers:
        thread.join()
    writer.close()
    done.set()
    for thread in readers:
        thread.join()
    run.refresh()
    assert failures == []
    assert run.steps.tolist() == list(range(3000))
    assert sorted(m.step for m in run.marks) == list(range(100, 3000, 100))
    np.testing.assert_allclose(run.norm("tail")[::500], [measurement(s).norm("tail") for s in range(0, 3000, 500)])
