"""Files that only grow: what a full disk tears comes once."""

import resource
import warnings

from gradlens.runlog import Run, RunLogWarning, RunWriter
from tests.runlog.made import meta


def test_events_torn_by_a_full_disk_come_once(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = RunWriter(tmp_path / "run", meta())
    for size in (333, 450, 451, 700):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RunLogWarning)
                for number in range(3):
                    writer.event("mark", size, text=f"{size}-{number}")
                writer.flush()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        writer.flush()
    writer.close()
    assert [m.text for m in Run(tmp_path / "run").marks] == [
        f"{size}-{n}" for size in (333, 450, 451, 700) for n in range(3)
    ]
