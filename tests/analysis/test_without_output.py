"""Classes that the model has no output for."""

from html import unescape

from gradlens.analysis.facts import facts
from gradlens.analysis.kept_overview import overviews
from gradlens.analysis.run_query import with_cards
from gradlens.analysis.without_output import without_output_text
from gradlens.reports.html import render
from gradlens.reports.listing import runs_text
from tests.made_runs import make_run


def test_classes_without_an_output_are_marked_wherever_the_run_is_shown(tmp_path):
    run = make_run(tmp_path / "run", steps=60, meta={"extra": {"outputs": 80}})
    said = (
        "the model has 80 outputs, so 20 of 30 classes of tail cannot occur; distortion and fractions of the classes "
        "count them"
    )
    assert without_output_text(run) == said
    assert said in " ".join(runs_text(*with_cards(overviews(tmp_path)), width=80).split())
    assert said in unescape(render([run]))
    assert dict(facts(run))["without an output"] == said
    for outputs in (None, 100, True, "80", -1):
        extra = {} if outputs is None else {"outputs": outputs}
        other = make_run(tmp_path / f"other {outputs}", steps=2, meta={"extra": extra})
        assert without_output_text(other) is None
