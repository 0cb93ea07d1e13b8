"""What happened in a run, a line each: phases, marks and evaluations."""

import numpy as np

from gradlens.runlog import Mark, Phase, Run, RunWriter
from tests.runlog.made import meta, write_run


def test_damaged_event_lines_are_skipped(tmp_path):
    writer = write_run(tmp_path / "run", [1], close=False)
    writer.event("mark", 1, text="a")
    writer.flush()
    with open(tmp_path / "run" / "events.jsonl", "ab") as file:
        file.write(b'\xff\xfe\n{"kind": 3}\n"text"\n{"kind": "mark", "step": "x", "text": "b"}\n\n{"kind": "mark", "st')
    writer.close()
    later = write_run(tmp_path / "run", [2], close=False, resume=True)
    later.event("mark", 2, text="c")
    later.close()
    run = Run(tmp_path / "run")
    assert [m.text for m in run.marks] == ["a", "c"]
    assert run.warnings == ("events.jsonl: 5 damaged lines are left out",)


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
