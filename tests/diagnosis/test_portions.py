"""Portions of a training, and both ends of the class frequencies."""

from gradlens import ClassGroups
from gradlens.diagnosis.portions import data_counts, head_of, late, looked_at, portions, quarters, tail_of
from tests.made_runs import make_run


def test_phases_are_judged_apart(made):
    run = made(phases=(("I", 0), ("II", 100)))
    assert [(p.name, p.rows.start, p.rows.stop) for p in portions(run)] == [("I", 0, 100), ("II", 100, 400)]
    assert [(p.name, p.rows.stop) for p in portions(made())] == [("", 400)]


def test_quarters_and_the_end():
    assert [(q.start, q.stop) for q in quarters(slice(100, 500))] == [(100, 200), (200, 300), (300, 400), (400, 500)]
    assert late(slice(0, 400)) == slice(200, 400)  # a quarter would be short
    assert late(slice(0, 2000)) == slice(1500, 2000)


def test_head_and_tail_are_told_by_the_images_of_a_class(made):
    run = made(data=(20,) * 5 + (500,) * 5)
    assert (head_of(run), tail_of(run)) == ("tail", "head")
    assert data_counts(run).tolist() == [100, 2500]
    assert data_counts(made(data=None)) is None


def test_of_many_groups_long_rules_look_at_both_ends(made, tmp_path):
    assert looked_at(made()) == ("head", "tail")
    groups = ClassGroups.per_class(20)
    run = make_run(tmp_path / "many", steps=5, groups=groups, meta={"class_counts": tuple(range(1, 21))})
    assert looked_at(run) == (groups.names[19], groups.names[0])
