"""The description of a run, and its copy in a segment."""

import json

import pytest

from gradlens.runlog import Run, RunError, list_runs
from tests.runlog.made import GROUPS, LAYERS, SEGMENT


@pytest.mark.parametrize("text", [b"", b"{", b'{"format": "gradlens-run", "schema": 1}', b"\x00" * 100, b"[1, 2]"])
def test_a_damaged_description_is_taken_from_the_segment(four_batches, text):
    (four_batches / "run.json").write_bytes(text)
    run = Run(four_batches)
    assert len(run) == 200
    assert run.meta.layer_names == LAYERS
    assert SEGMENT in run.warnings[0]
    (four_batches / SEGMENT).unlink()
    with pytest.raises(RunError, match=r"run\.json"):
        Run(four_batches)


def test_a_lost_description_is_taken_from_the_segment(four_batches):
    (four_batches / "run.json").unlink()
    assert len(Run(four_batches)) == 200
    assert [path for path, _ in list_runs(four_batches.parent)] == [four_batches]


def test_groups_that_are_none(four_batches):
    obj = json.loads((four_batches / "run.json").read_text())
    obj["groups"]["groups"]["tail"] = [0]
    (four_batches / "run.json").write_text(json.dumps(obj))
    run = Run(four_batches)
    assert run.groups == GROUPS
    assert "changed or damaged" in run.warnings[0]
    assert "its groups are not those of measurements-000.arrows, which are taken" in run.warnings[1]
    (four_batches / SEGMENT).unlink()
    with pytest.raises(RunError, match="no usable groups"):
        Run(four_batches)
