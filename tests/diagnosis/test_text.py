"""Findings as lines and as JSON."""

import json

from gradlens.diagnosis.diagnose import diagnose
from gradlens.diagnosis.text import LEGEND, NOTHING, lines, to_json


def test_lines_are_short_and_name_the_figure(made):
    found = diagnose(made(drawn=lambda _: (0.96, 0.04)))
    told = lines(found, 80)
    assert max(map(len, told)) <= 80
    assert told[0].startswith("! The training hardly follows the tail")
    assert "[figure: share of the update]" in " ".join(line.strip() for line in told)
    assert " ".join(told).endswith(LEGEND)
    assert lines([]) == [NOTHING]


def test_json_has_the_number_and_the_interval(made):
    (balance, _) = diagnose(made())
    kept = json.loads(json.dumps(to_json(balance), allow_nan=False))
    assert kept["rule"] == "balance"
    assert kept["severity"] == "fine"
    assert kept["interval"] == [balance.interval.low, balance.interval.high]
    assert kept["measured"] == 400
    assert kept["level"] == 0.99
