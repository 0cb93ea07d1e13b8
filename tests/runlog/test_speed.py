"""What logging costs a training, and reading a viewer."""

import resource
import subprocess
import sys
import time

import numpy as np
import pytest

from gradlens.metrics.measurement import Measurement
from gradlens.runlog import Run, RunWriter
from gradlens.runlog.format.schema import RowLayout, pack
from gradlens.runlog.writing.append import SegmentSink
from tests.runlog.made import meta

NAMES = ("head", "tail", "rest", "update")


def random_measurement(rng, step, L):
    x = rng.normal(size=(L, 4, 5)).astype(np.float32)
    layers = x @ x.transpose(0, 2, 1)
    k = np.ones(2)
    return Measurement(
        step, 1e9 + step, step // 100, NAMES, layers.sum(0).astype(np.float64), layers, k, k, k, 1e-7, 1.0, 0.01
    )


def test_append_takes_at_most_100_microseconds(tmp_path):
    rng = np.random.default_rng(0)
    writer = RunWriter(tmp_path / "run", meta(layer_names=tuple(f"layer{i}" for i in range(32))))
    rounds = []
    for start in range(0, 4000, 500):
        ms = [random_measurement(rng, step, 32) for step in range(start, start + 500)]
        begin = time.perf_counter()
        for m in ms:
            writer.append(m)
        rounds.append((time.perf_counter() - begin) / len(ms))
        time.sleep(0.05)
    writer.close()
    assert len(Run(tmp_path / "run")) == 4000
    # The best round: a busy machine takes the processor away from some.
    assert min(rounds) <= 100e-6


def test_memory_does_not_grow_with_rows(tmp_path):
    rng = np.random.default_rng(0)
    writer = RunWriter(tmp_path / "run", meta(layer_names=tuple(f"layer{i}" for i in range(32))))
    ms = [random_measurement(rng, step, 32) for step in range(1000)]
    peaks = []
    for part in range(8):
        for m in ms:
            object.__setattr__(m, "step", m.step + 1000)
            writer.append(m)
        writer.flush()
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        assert len(peaks) == part + 1
    writer.close()
    assert peaks[-1] - peaks[1] < 4 << 10  # kilobytes; 6000 rows are 8 MB


# Processor time: with the file in the cache nothing waits, and other programs on the machine do not count.
READ = """
import sys, time
from gradlens.runlog import Run

def memory():
    return sum(int(l.split()[1]) for l in open('/proc/self/status') if l.startswith(('RssAnon', 'RssFile'))) // 1024

before, start = memory(), time.process_time()
run = Run(sys.argv[1])
curve = run.cosine('tail')
print(len(curve), time.process_time() - start, memory() - before)
start = time.process_time()
run.refresh(); run.cosine('tail')
print(time.process_time() - start)
"""


@pytest.mark.slow
def test_a_million_rows_of_40_layers(tmp_path):
    rng = np.random.default_rng(0)
    layers = tuple(f"layer{i}" for i in range(40))
    writer = RunWriter(tmp_path, meta(layer_names=layers))
    writer.close()
    sink = SegmentSink(tmp_path, RowLayout(NAMES, layers, ("head", "tail")), writer.meta.to_json())
    rows = [pack(sink.layout, random_measurement(rng, 0, 40)) for _ in range(64)]
    for start in range(0, 1_000_000, 64):
        sink.write([(start + i, 1e9 + start + i, *row[2:]) for i, row in enumerate(rows)])
    sink.close()
    (tmp_path / "run.json").touch()
    found = [
        subprocess.run(
            [sys.executable, "-c", READ, str(tmp_path)], capture_output=True, text=True, check=True
        ).stdout.split()
        for _ in range(3)
    ]
    assert {int(n) for n, *_ in found} == {1_000_000}
    assert min(float(seconds) for _, seconds, _, _ in found) < 2.0
    assert max(int(megabytes) for _, _, megabytes, _ in found) < 300  # the file has 1.8 GB
    assert min(float(tick) for *_, tick in found) < 0.2
