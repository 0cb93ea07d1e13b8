"""The names of a run's files: numbers go on after the largest one."""

from pathlib import Path

from gradlens.runlog.format.names import next_path, place_of


def test_the_next_name_is_after_the_largest_number(tmp_path):
    assert next_path(tmp_path, "probes", "arrow").name == "probes-000.arrow"
    for name in (
        "probes-000.arrow",
        "probes-007.arrow",
        "measurements-011.arrows",
        "probes-9.txt",
        "old-probes-99.arrow",
    ):
        (tmp_path / name).touch()
    assert next_path(tmp_path, "probes", "arrow").name == "probes-008.arrow"
    assert next_path(tmp_path, "measurements", "arrows").name == "measurements-012.arrows"


def test_numbers_beyond_three_digits_are_read_as_numbers(tmp_path):
    for number in (999, 1000):
        (tmp_path / f"probes-{number}.arrow").touch()
    assert next_path(tmp_path, "probes", "arrow").name == "probes-1001.arrow"
    assert place_of(Path("x/probes-1000.arrow")) == 1000
    assert place_of(Path("x/measurements-012.arrows")) == 12
