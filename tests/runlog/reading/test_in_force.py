"""Which rows count when a run is resumed: later steps supersede earlier ones."""

import numpy as np

from gradlens.runlog import Phase, Run, RunWriter
from tests.runlog.made import measurement, meta, write_run


def other(step):
    """The measurement of a later session: the same step, told apart by its loss."""
    m = measurement(step)
    object.__setattr__(m, "total_loss", 1000.0 + step)
    return m


def resume(path, steps, events=()):
    writer = RunWriter(path, meta(), resume=True)
    for kind, step, facts in events:
        writer.event(kind, step, **facts)
    writer.append_many([other(step) for step in steps])
    writer.close()


def test_later_steps_supersede(tmp_path):
    write_run(tmp_path, range(100))
    resume(tmp_path, range(60, 80))
    run = Run(tmp_path)
    assert run.steps.tolist() == list(range(80))
    assert run.total_loss.tolist() == [*range(60), *range(1060, 1080)]
    assert sorted(p.name for p in tmp_path.glob("*.arrows")) == ["measurements-000.arrows", "measurements-001.arrows"]
    resume(tmp_path, range(90, 100))  # measured less often after it resumed; nothing of the second session goes
    assert Run(tmp_path).steps.tolist() == [*range(80), *range(90, 100)]
    resume(tmp_path, [0])
    assert Run(tmp_path).steps.tolist() == [0]
    assert Run(tmp_path).total_loss.tolist() == [1000]


def test_the_resume_event_says_more_than_the_first_measured_step(tmp_path):
    write_run(tmp_path, range(100))
    resume(tmp_path, [70, 80], [("resume", 60, {})])
    assert Run(tmp_path).steps.tolist() == [*range(60), 70, 80]


def test_a_session_that_measured_nothing_supersedes_nothing(tmp_path):
    write_run(tmp_path, range(10))
    resume(tmp_path, [])
    assert Run(tmp_path).steps.tolist() == list(range(10))


def test_events_after_the_resume_point_are_superseded_too(tmp_path):
    writer = write_run(tmp_path, range(0, 100, 10), close=False)
    writer.event("phase", 0, name="I")
    writer.event("evaluation", 40, overall=0.4)
    writer.event("phase", 50, name="II")
    writer.event("evaluation", 90, overall=0.9)
    writer.event("mark", 90, text="gone")
    writer.event("warning", text="stays")
    writer.close()
    resume(
        tmp_path,
        range(60, 130, 10),
        [("phase", 60, {"name": "II"}), ("phase", 100, {"name": "III"}), ("evaluation", 90, {"overall": 0.8})],
    )
    run = Run(tmp_path)
    assert run.phases == [Phase("I", 0, 50), Phase("II", 50, 100), Phase("III", 100, None)]
    assert [(e["step"], e["overall"]) for e in run.evaluations] == [(40, 0.4), (90, 0.8)]
    assert run.marks == []
    assert len(run.events) == 9  # the log itself forgets nothing


def test_going_back_in_the_same_process(tmp_path):
    """A training that reloads a checkpoint after a NaN goes back in its steps."""
    writer = write_run(tmp_path, range(50), close=False)
    writer.append_many([measurement(50), measurement(51), *(other(step) for step in range(30, 40))])
    writer.append(other(35))
    writer.close()
    run = Run(tmp_path)
    assert run.steps.tolist() == list(range(36))
    assert run.total_loss.tolist() == [*range(30), *range(1030, 1036)]


def test_a_reader_follows_a_resumed_run(tmp_path):
    write_run(tmp_path, range(100))
    run = Run(tmp_path)
    before = run.cosine("tail"), run.total_loss
    resume(tmp_path, range(60, 200))
    assert run.refresh()
    assert run.steps.tolist() == list(range(200))
    assert run.total_loss[60:].tolist() == list(range(1060, 1200))
    assert before[0].shape == (100,)
    assert before[1].tolist() == list(range(100))
    np.testing.assert_array_equal(run.cosine("tail"), Run(tmp_path).cosine("tail"))


def test_resume_after_the_description_was_lost(tmp_path):
    write_run(tmp_path, range(10))
    (tmp_path / "run.json").write_text("")
    resume(tmp_path, [5, 6])
    assert Run(tmp_path).steps.tolist() == [*range(7)]
