"""What the groups are made of stands in every table, text and figure: "values of domain" where others say "classes"."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from gradlens import ClassGroups, Lens, Run, figures
from gradlens.analysis.facts import facts
from gradlens.analysis.headline import grouping, groups_differ, groups_named, two_groups_text
from gradlens.analysis.likeness import unlike
from gradlens.analysis.two_runs import PairError, common_groups
from gradlens.analysis.without_output import without_output
from gradlens.reports.html import write_report
from gradlens.reports.notebook import page
from gradlens.reports.summary import summary_table

OF_DOMAIN = ClassGroups.of_attribute("domain", ["photo", "sketch", "cartoon"], {"photo": [0], "drawn": [1, 2]})
OF_CLASSES = ClassGroups({"photo": [0], "drawn": [1, 2]}, 3)


def run_with(groups: ClassGroups, folder: Path) -> Run:
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    meta = {"extra": {"outputs": 2}} if groups.members else {}
    with Lens(model, groups, out=folder, optimizer=optimizer, every=1, class_counts=[30, 20, 10], meta=meta) as lens:
        for _ in range(60):
            x, y, domain = torch.randn(12, 4), torch.randint(0, 3, (12,)), torch.randint(0, 3, (12,))
            lens.backward(F.cross_entropy(model(x), y), y, members=domain if groups.members else None)
            optimizer.step()
            optimizer.zero_grad()
    return Run(folder)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    folder = tmp_path_factory.mktemp("units")
    return run_with(OF_DOMAIN, folder / "of-domain"), run_with(OF_CLASSES, folder / "of-classes")


def test_texts_name_the_attribute(runs: tuple[Run, Run]) -> None:
    run, other = runs
    assert groups_named(run) == "domain: photo (1), drawn (2)"
    assert groups_named(other) == "photo (1), drawn (2)"
    assert "of the values of domain: " in two_groups_text(run)
    assert two_groups_text(run).endswith("its part of the values of domain")
    assert two_groups_text(other).endswith("its part of the classes")
    told = dict(facts(run))
    assert told["training images"] == "60 in 3 values of domain, 30 to 10 a value"
    assert told["groups"] == "photo: 0, drawn: 1-2; 3 values of domain; given"
    assert without_output(run) == {}  # the model's two outputs are no values of the domain


def test_pages_and_tables_name_the_attribute(runs: tuple[Run, Run], tmp_path: Path) -> None:
    run, other = runs
    heads = [str(column.header) for column in summary_table(run).columns]
    assert heads[1] == "values of domain"
    assert [str(column.header) for column in summary_table(other).columns][1] == "classes"
    assert ">values of domain<" in page(run)
    assert ">classes<" not in page(run)
    assert "3 values of domain" in page(OF_DOMAIN)
    write_report([run], tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "shares of the update and of the values of domain" in text
    assert "of the classes" not in text


def test_figures_name_the_attribute(runs: tuple[Run, Run]) -> None:
    run, other = runs
    title = figures.distortion_curves([run]).layout.title.text
    assert "serving all values of domain alike" in title
    assert "classes or values of domain" in figures.distortion_curves([other, run]).layout.title.text
    assert "values of domain" in figures.group_classes(OF_DOMAIN).layout.title.text
    assert "classes" not in figures.shares(run).to_json()


def test_groups_of_an_attribute_are_others_than_those_of_classes(runs: tuple[Run, Run]) -> None:
    run, other = runs
    assert groups_differ(runs)
    assert grouping(run) != grouping(other)
    assert unlike(run, other)[0] == "what the groups are made of (values of domain, classes)"
    with pytest.raises(PairError):
        common_groups(run, other)
