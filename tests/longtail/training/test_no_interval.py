"""What `gradlens train` advises where the distortion has no interval."""

import pytest

from gradlens.analysis.distortion import distortion_interval
from gradlens.analysis.phase_story import stretches
from gradlens.longtail.training.no_interval import no_interval
from gradlens.runlog import Run
from tests.dashboard_runs import log
from tests.made_runs import make_run


def phased(path, *, measured, every, steps):
    """A run of one phase of so many steps."""
    cadence = {1: "every step"}.get(every, f"every {every} steps")
    make_run(path, steps=measured, every=every, noise=(0.5, 0.5), meta={"cadence": cadence, "extra": {"steps": steps}})
    log(path, kind="phase", step=0, name="I")
    return Run(path)


@pytest.mark.parametrize(
    ("measured", "every", "steps", "helps"),
    [
        (9, 1, 9, "; a longer training has more"),
        (3, 5, 15, "; a longer training has more"),  # 15 steps are too few, too
        (12, 5, 60, "; --every 1 measures more"),
        (400, 1, 400, None),
    ],
)
def test_the_advice_fits(tmp_path, measured, every, steps, helps):
    run = phased(tmp_path / "run", measured=measured, every=every, steps=steps)
    parts = stretches(run)
    found = no_interval(run, parts, [distortion_interval(run, *part.span) for part in parts])
    said = f"no interval of the run: {measured} measured steps can be used; an interval needs 53{helps}"
    assert found == ("" if helps is None else said)
