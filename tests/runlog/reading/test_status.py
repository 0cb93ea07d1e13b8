"""Whether a run is live, over, or was killed."""

import os
import time

from gradlens.runlog import Run
from gradlens.runlog.format import process
from gradlens.runlog.reading.status import RunStatus
from tests.runlog.made import measurement, meta, wait_for, write_run


def test_how_a_run_ended_is_unknown_without_its_description(four_batches, monkeypatch):
    (four_batches / "run.json").write_bytes(b"{")
    monkeypatch.setattr("gradlens.runlog.format.process.lives", lambda *_: False)
    assert Run(four_batches).status == RunStatus("unknown", "how it ended stood in run.json")
    monkeypatch.setattr("gradlens.runlog.format.process.lives", lambda *_: True)
    assert Run(four_batches).status == RunStatus("running")


def test_a_process_of_another_namespace_is_believed_while_its_rows_grow(tmp_path):
    writer = write_run(tmp_path / "run", range(3), close=False)
    writer.update_meta(pid=2**30, pid_namespace="pid:[1]")
    wait_for(lambda: Run(tmp_path / "run").meta.pid_namespace == "pid:[1]")
    assert Run(tmp_path / "run").meta.host == process.host()
    assert Run(tmp_path / "run").status.state == "running"
    writer.append(measurement(5))
    writer.close()
    assert meta().pid_namespace is None


def test_a_process_on_another_machine_is_believed_while_it_gives_signs(tmp_path):
    write_run(tmp_path / "run", [1], close=False).update_meta(host="elsewhere", pid=1)
    wait_for(lambda: Run(tmp_path / "run").meta.host == "elsewhere")
    assert Run(tmp_path / "run").status.state == "running"
    long_ago = time.time() - 1000
    for file in (tmp_path / "run").iterdir():
        os.utime(file, (long_ago, long_ago))
    status = Run(tmp_path / "run").status
    assert status.state == "killed"
    assert "elsewhere" in status.reason
