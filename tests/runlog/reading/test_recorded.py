"""What a run has recorded, asked for by name."""

import pytest

from gradlens.runlog import Run
from tests.runlog.made import write_run


def test_names_that_are_not_there_are_named(tmp_path):
    write_run(tmp_path / "run", [1])
    run = Run(tmp_path / "run")
    with pytest.raises(KeyError, match=r"no vector 'medium'.*head, tail, rest"):
        run.cosine("medium")
    with pytest.raises(KeyError, match="track with --layers"):
        run.gram("fc")
    with pytest.raises(ValueError, match="'contribution' or 'mean'"):
        run.norm("tail", per="sample")
    with pytest.raises(ValueError, match="share, cosine, norm"):
        run.by_layer("angle", "tail")
