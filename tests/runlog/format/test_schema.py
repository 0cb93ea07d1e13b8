"""What a segment's schema says: its version, and to which run it belongs."""

import json

import pyarrow as pa
import pytest

from gradlens.runlog import Run, RunTooNew
from tests.runlog.made import SEGMENT


def test_a_newer_segment_is_refused(four_batches):
    with pa.memory_map(str(four_batches / SEGMENT)) as file:
        table = pa.ipc.open_stream(file).read_all()
    facts = json.loads(table.schema.metadata[b"gradlens"])
    schema = table.schema.with_metadata({b"gradlens": json.dumps({**facts, "schema": 7})})
    with pa.ipc.new_stream(str(four_batches / "measurements-001.arrows"), schema) as writer:
        writer.write_table(table.replace_schema_metadata(schema.metadata))
    with pytest.raises(RunTooNew, match="schema version 7"):
        Run(four_batches)


def test_a_foreign_segment_is_left_out(four_batches):
    with pa.ipc.new_stream(str(four_batches / "measurements-001.arrows"), pa.schema([("x", pa.int64())])):
        pass
    run = Run(four_batches)
    assert len(run) == 200
    assert "gradlens did not write" in run.warnings[0]
    run.refresh()
    assert len(run.warnings) == 1
