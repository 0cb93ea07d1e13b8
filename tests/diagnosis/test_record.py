"""A record that is not whole."""

from gradlens.diagnosis.record import incomplete
from gradlens.runlog import Run


def test_a_damaged_file_is_told(made):
    run = made()
    assert incomplete(run) is None
    (segment,) = run.path.glob("measurements-*.arrows")
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 255
    segment.write_bytes(data)
    assert "is not whole" in incomplete(Run(run.path)).sentence
