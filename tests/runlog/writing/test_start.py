"""How a run starts, and at which step a resumed one goes on."""

import pytest

from gradlens.runlog import Run, RunExistsError
from gradlens.runlog.writing.start import open_run
from tests.runlog.made import GROUPS, measurement, write_run


def test_without_a_folder_there_is_no_writer():
    assert open_run(None, resume=True, groups=GROUPS.to_json()) == (None, 0)


def test_a_new_run_starts_at_step_zero_with_its_facts(tmp_path):
    writer, step = open_run(tmp_path / "run", resume=False, groups=GROUPS.to_json(), seed=3)
    assert writer is not None
    writer.close()
    assert (step, Run(tmp_path / "run").meta.seed) == (0, 3)


def test_resuming_goes_on_after_the_last_measured_step(tmp_path):
    write_run(tmp_path / "run", [0, 10, 20])
    writer, step = open_run(tmp_path / "run", resume=True, groups=GROUPS.to_json())
    assert (step, writer.session) == (21, 1)
    writer.append(measurement(step))
    writer.close()
    assert Run(tmp_path / "run").steps.tolist() == [0, 10, 20, 21]


def test_steps_that_were_not_measured_count_where_the_run_knows_them(tmp_path):
    writer = write_run(tmp_path / "run", [0, 10], close=False)
    writer.update_meta(extra={"steps": 17})
    writer.close()
    writer, step = open_run(tmp_path / "run", resume=True, groups=GROUPS.to_json())
    writer.close()
    assert step == 17


def test_resuming_nothing_starts_a_run_and_an_earlier_one_is_never_overwritten(tmp_path):
    writer, step = open_run(tmp_path / "run", resume=True, groups=GROUPS.to_json())
    writer.close()
    assert (step, writer.session) == (0, 0)
    with pytest.raises(RunExistsError):
        open_run(tmp_path / "run", resume=False, groups=GROUPS.to_json())


def test_facts_that_a_run_does_not_have_are_refused_before_a_folder_is_made(tmp_path):
    with pytest.raises(TypeError, match=r"meta has colour, which RunMeta lacks; put it under meta=\{'extra'"):
        open_run(tmp_path / "run", resume=False, groups=GROUPS.to_json(), colour="red", seed=1)
    assert not (tmp_path / "run").exists()
