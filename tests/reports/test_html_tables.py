"""Tables of the report: every text of a user is escaped, and each fact stands once."""

import re

from gradlens.analysis.compare import compare
from gradlens.analysis.row import NOT_RANKED
from gradlens.groups import ClassGroups
from gradlens.reports.html_tables import claims_table, differences_table, escaped, side_by_side, table
from tests.analysis.plane_runs import write


def cells(text):
    """Returns the texts of the body's cells, row by row."""
    body = text[text.index("<tbody>") : text.index("</tbody>")]
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", body)]


def test_a_table_escapes_its_head_and_marks_numbers():
    text = table(("<a>", "n"), [["<b>x</b>", "1"]], numeric=(1,))
    assert "<th>&lt;a&gt;</th>" in text
    assert '<th class="n">n</th>' in text
    assert "<td><b>x</b></td>" in text  # cells are HTML already
    assert '<td class="n">1</td>' in text
    assert "<thead>" not in table(("", ""), [["a", "b"]])
    assert 'class="facts"' in table(("", ""), [["a", "b"]], narrow=True)


def test_escaped_texts_are_safe_in_attributes_too():
    assert escaped("<img src=\"x\" alt='y'>") == "&lt;img src=&quot;x&quot; alt=&#x27;y&#x27;&gt;"


def test_runs_side_by_side_worked_by_hand(tmp_path):
    # the head has 60 of 64 samples, and 9 / 10 of the squared norm, so 90 % of the update
    runs = [write(tmp_path / "a", [3] * 20, [1] * 20), write(tmp_path / "b", [1] * 20, [1] * 20)]
    text = side_by_side(runs)
    first, second = cells(text)
    assert first[0] == "a"
    assert first[4] == "20"
    assert "tail: 10.0% of the update, 6.2% of the samples, 30.0% of the classes" in first[-1]
    assert "tail: 50.0% of the update" in second[-1]
    assert NOT_RANKED not in text


def test_runs_of_other_groups_are_not_to_be_ranked(tmp_path):
    other = ClassGroups({"<i>head": range(50), "tail": range(50, 100)}, 100)
    text = side_by_side([write(tmp_path / "a", [3, 3], [1, 1]), write(tmp_path / "b", [3, 3], [1, 1], groups=other)])
    assert NOT_RANKED in text
    assert "<i>" not in text


def test_every_claim_and_every_difference_has_a_row(tmp_path):
    pair = write(tmp_path / "a", [3, 4, 3, 4] * 30, [1, 1, 2, 1] * 30), write(tmp_path / "b", [1, 2] * 60, [2, 1] * 60)
    found = compare(*pair)
    assert len(cells(claims_table(found.claims))) == len(found.claims)
    headings = {row.group for row in found.differences}
    assert len(cells(differences_table(found))) == len(found.differences) + len(headings)
    bold = sum("<b>" in row[-1] for row in cells(differences_table(found)))
    assert bold == sum(row.clear for row in found.differences)
    assert bold > 0
