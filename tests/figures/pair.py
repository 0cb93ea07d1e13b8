"""A long-tailed and a balanced run with phases, layers and evaluations, for the tests of figures."""

from pathlib import Path

from gradlens.groups import ClassGroups
from gradlens.runlog import Run, RunWriter
from tests.made_runs import make_run

SHOTS = ClassGroups({"many": range(35), "medium": range(35, 70), "few": range(70, 100)}, 100)


def traces(figure, **wanted):
    return [t for t in figure.data if all(getattr(t, key) == value for key, value in wanted.items())]


def make_pair(folder: Path) -> tuple[Run, Run]:
    """Writes and opens both."""
    first = make_run(folder / "lt", absent=0.3, layers=4, update=True, weights=(1.0, 0.12), noise=(0.1, 0.4))
    make_run(folder / "balanced", weights=(1.0, 0.8), seed=1)
    writer = RunWriter(folder / "lt", first.meta, resume=True)
    writer.event("phase", step=0, name="I")
    writer.event("phase", step=100, name="II")
    writer.event("mark", step=150, text="learning rate")
    for step, head in ((99, 40.0), (199, 60.0)):
        writer.event("evaluation", step=step, split="test", head=head, tail=head / 4, overall=head / 2)
    writer.close()
    return Run(folder / "lt"), Run(folder / "balanced")


NASTY = "<script>alert(1)<|script>%{nasty}$a$<b>"  # a group's name cannot hold a slash


def subtitle(figure):
    return figure.layout.title.subtitle.text


def strong(figure, name):
    return next(t for t in figure.data if t.name == name and t.hoverinfo != "skip")
