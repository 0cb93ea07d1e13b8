import dataclasses

from gradlens.longtail.table.records import record
from gradlens.longtail.table.text import HEADER, lines, markdown, row

MEASURED = {
    "method": "ce",
    "imbalance": 100.0,
    "epochs": [200],
    "seeds": 3,
    "overall": 38.26,
    "std": 0.31,
    "where": "a.json",
}
SHARE = {"value": 0.0512, "low": 0.04, "high": 0.06}
LENS = {
    "dataset": "cifar100-lt", "imbalance": 100.0, "seeds": 1, "cost": 1.5, "where": "b.json",
    "phases": [
        {"name": "I", "epochs": 10, "share": SHARE, "sample_share": SHARE | {"value": 0.033}, "distortion": SHARE},
        {"name": "means", "epochs": 0, "accuracy": {"value": 12.5, "low": None, "high": None}},
    ],
}  # fmt: skip


def test_of_two_equally_long_trainings_that_with_the_own_recipe_is_shown():
    own = MEASURED | {"preset": "cifar100-lt", "overall": 38.6}
    for order in ((MEASURED, own), (own, MEASURED)):
        shown = row(dataclasses.replace(record("ce"), accuracy=order))
        assert shown[HEADER.index("here")] == "38.6 +- 0.3 (200 epochs, 3 seeds, preset cifar100-lt)"


def filled():
    longer = MEASURED | {"epochs": [200, 200], "overall": 39.0, "seeds": 1, "std": None}
    other = MEASURED | {"imbalance": 50.0, "epochs": [900]}
    return dataclasses.replace(record("ce"), accuracy=(MEASURED, longer, other), lens=LENS)


def test_a_row_has_what_was_measured_beside_what_is_published():
    cells = dict(zip(HEADER, row(filled(), short=True), strict=True))
    assert cells["here"] == "39.0 (200 + 200 epochs, one seed)"  # of the longest training with imbalance 100
    assert cells["published"] == "38.3"
    assert cells["its protocol"] == "200 epochs, last"
    assert (cells["phases"], cells["cost"], cells["tail's share"]) == ("I, means", "1.50", "0.05 / 0.03")


def test_a_method_that_was_not_measured_has_no_numbers():
    cells = dict(zip(HEADER, row(dataclasses.replace(record("iem"), accuracy=(), lens={})), strict=True))
    assert (cells["exact"], cells["here"], cells["cost"], cells["published"]) == ("not in the lab", "-", "-", "-")
    assert "left out of the lab" in cells["its protocol"]


def test_all_that_is_known_of_a_method():
    text = "\n".join(lines(filled()))
    assert "38.32 (imbalance 100)" in text
    assert "here: 38.3 +- 0.3 (200 epochs, 3 seeds), a.json" in text
    assert "here: 38.3 +- 0.3 (imbalance 50, 900 epochs, 3 seeds), a.json" in text
    assert "phase I (10 epochs): distortion 0.0512 [0.04, 0.06]; tail's share of the update 0.0512" in text
    assert "phase means (0 epochs): tail's accuracy (%) 12.5" in text
    assert "approximate: " in "\n".join(lines(record("cb-focal")))


def test_the_table_in_markdown():
    table = markdown([filled()])
    head, rule, one = table.splitlines()[:3]
    assert head.count("|") == rule.count("|") == one.count("|") == len(HEADER) + 1
    assert one.startswith("| ce | ")


def test_the_table_says_on_which_data_the_lens_measured():
    assert markdown([filled()]).endswith(
        "Phases, cost and shares were measured on: cifar100-lt, imbalance 100, one seed.\n"
    )
