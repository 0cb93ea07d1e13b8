"""The claims of Figure 1: hand-worked effects, verdicts on runs made so that they hold or fail, and what refuses to be judged."""

import dataclasses
import json

import numpy as np
import pytest

from gradlens.analysis.figure1_claims import Claim, figure1_claims, fluctuation_window
from gradlens.groups import ClassGroups
from gradlens.metrics.measurement import Measurement
from gradlens.runlog import Run, RunMeta, RunWriter
from tests.analysis.plane_runs import write
from tests.made_runs import HEAD_TAIL, make_run


def by_measure(claims: list[Claim]) -> dict[tuple[str, str], Claim]:
    return {(c.measure, c.convention): c for c in claims}


def test_effects_by_hand(tmp_path):
    # head (4, 0), tail (0, 3): |g| = 5, cosines 0.8 and 0.6; balanced both (1, 0), (0, 1): cosines 1 / sqrt 2
    long_tailed = write(tmp_path / "lt", [4.0] * 60, [3.0] * 60)
    balanced = write(tmp_path / "b", [1.0] * 60, [1.0] * 60, counts=(45, 19))
    found = by_measure(figure1_claims(long_tailed, balanced))
    root = 1 / np.sqrt(2)
    for measure, effect in [
        ("cos(head) - cos(tail)", 0.2),
        ("cos(head), long-tailed - balanced", 0.8 - root),
        ("cos(tail), balanced - long-tailed", root - 0.6),
        ("cos(head) - cos(tail), long-tailed - balanced", 0.2),
    ]:
        claim = found[measure, "both"]
        assert claim.effect == pytest.approx(effect)
        assert claim.low == pytest.approx(effect)
        assert claim.supported is True
    # constant norms do not fluctuate: a ratio 0 / 0 is not measurable
    assert found["relative fluctuation, tail / head", "mean"].supported is None


def test_norm_effects_by_hand(tmp_path):
    # alternating norms: tail 1, 3, 1, 3, head 10, 11, ... in the long-tailed run, everything half as lively in the balanced one
    T = 400
    long_tailed = write(tmp_path / "lt", [10.0, 11.0] * (T // 2), [1.0, 3.0] * (T // 2))
    balanced = write(tmp_path / "b", [10.0, 10.5] * (T // 2), [1.5, 2.5] * (T // 2))
    claims = by_measure(figure1_claims(long_tailed, balanced))
    # of two values in turns, each is half the logarithm of their ratio away from their middle; counts do not change, so both
    # conventions agree
    for per in ("contribution", "mean"):
        within = np.log(3) / np.log(1.1)
        assert claims["relative fluctuation, tail / head", per].effect == pytest.approx(within, rel=1e-3)
        between = np.log(3) / np.log(2.5 / 1.5)
        assert claims["relative fluctuation of tail, long-tailed / balanced", per].effect == pytest.approx(
            between, rel=1e-3
        )
    overall = [np.sqrt([101, 130]), np.sqrt([102.25, 116.5])]
    halves = [np.ptp(x) / 2 for x in overall]
    for measure, ratio in [
        ("absolute deviation from the median of the run, long-tailed / balanced", halves[0] / halves[1]),
        ("absolute fluctuation, long-tailed / balanced", halves[0] / halves[1]),
        (
            "relative fluctuation, long-tailed / balanced",
            np.log(overall[0][1] / overall[0][0]) / np.log(overall[1][1] / overall[1][0]),
        ),
    ]:
        claim = claims[measure, "both"]
        assert claim.effect == pytest.approx(ratio, rel=1e-3)
        assert claim.threshold == 1
        assert claim.supported
    # without the tail the norm is the head's: 10, 11
    cause = claims["absolute fluctuation, overall / overall without tail", "contribution"]
    assert cause.effect == pytest.approx(halves[0] / 0.5, rel=1e-3)
    assert claims["rank correlation of the fluctuations", "contribution"].effect == pytest.approx(1)


@dataclasses.dataclass(frozen=True)
class HeavyTailed:
    """A run whose gradients have sizes with heavy tails, alike in every run of one number of steps but for chance."""

    seed: int
    name: str = "heavy"
    groups: ClassGroups = HEAD_TAIL

    def sizes(self, column):
        return np.exp(0.3 * np.random.default_rng([self.seed, column]).standard_t(3, len(self)))

    def __len__(self):
        return 400

    @property
    def steps(self):
        return np.arange(len(self)) * (2 if self.seed % 2 else 1)  # two runs have no steps in pairs

    def cosine(self, name):
        return np.tanh(np.log(self.sizes(len(name))))

    share = cosine

    def norm(self, name, per="contribution"):
        return self.sizes(10 + len(name))


def test_two_runs_of_one_heavy_tailed_distribution_seldom_get_a_verdict():
    wrong = {}
    for pair in range(120):
        for claim in figure1_claims(HeavyTailed(2 * pair), HeavyTailed(2 * pair + 1)):
            if "fluctuat" in claim.measure and "balanced" in claim.measure:
                wrong.setdefault(claim.measure, []).append(claim.supported is not None)
    assert len(wrong) == 3
    # By the ratio of mean absolute fluctuations to the mean it was every fifth pair.
    assert max(np.mean(found) for found in wrong.values()) <= 0.11


def test_the_mean_convention_multiplies_by_batch_over_count(tmp_path):
    rng = np.random.default_rng(0)
    T, n = 300, 64
    path = tmp_path / "lt"
    writer = RunWriter(path, RunMeta.here(HEAD_TAIL.to_json()))
    # every sample has the same gradient length, so contributions go with the counts and mean norms are constant but for 1 %
    means = []
    for t in range(T):
        k = int(rng.integers(1, 8))
        wobble = 1 + 0.01 * rng.standard_normal(2)
        a, b = (n - k) / n * wobble[0], k / n * wobble[1]
        means.append(wobble)
        counts = np.array([n - k, k], dtype=float)
        writer.append(
            Measurement(t, 0.0, None, ("head", "tail", "rest"), np.diag([a**2, b**2, 0]), None, counts, counts, counts, 0, 1, 0)
        )  # fmt: skip
    writer.close()
    claims = by_measure(figure1_claims(Run(path), Run(path)))
    contribution = claims["relative fluctuation, tail / head", "contribution"]
    mean = claims["relative fluctuation, tail / head", "mean"]
    assert contribution.effect > 5
    assert contribution.supported
    expected = np.std(means, axis=0) / np.mean(means, axis=0)
    assert mean.effect == pytest.approx(expected[1] / expected[0], rel=0.1)


def test_verdicts_on_runs_made_to_hold_and_to_fail(tmp_path):
    long_tailed = make_run(tmp_path / "lt", weights=(1.0, 0.1), noise=(0.05, 0.2), absent=0.1)
    balanced = make_run(tmp_path / "b", weights=(1.0, 1.0), noise=(0.05, 0.05))
    claims = figure1_claims(long_tailed, balanced)
    assert [c.panel for c in claims] == ["a", "a", "b", "a, b", "c", "c", "c, d", "c, d", *["c, d"] * 3, "c", "c", "c"]
    assert all(c.supported for c in claims[:8])
    # the other way round the comparisons between the runs turn around; the first one is about one run alone
    for claim in figure1_claims(balanced, long_tailed)[1:4]:
        assert claim.supported is False
        assert claim.high < 0
    same = figure1_claims(long_tailed, long_tailed)
    for claim in same:
        if "balanced" in claim.measure:
            assert claim.effect == pytest.approx(claim.threshold, abs=1e-9)
            assert claim.supported is None, "the interval holds the threshold: nothing is contradicted"
            assert claim.low <= claim.effect <= claim.high


def test_claims_are_strict_json_and_one_line(tmp_path):
    runs = [make_run(tmp_path / str(i), steps=n, seed=i) for i, n in enumerate((60, 3))]
    for claim in figure1_claims(*runs):
        assert json.loads(json.dumps(dataclasses.asdict(claim), allow_nan=False))["statement"] == claim.statement
        assert "\n" not in str(claim)
        assert claim.verdict in str(claim)
    undecided = [c for c in figure1_claims(*runs) if c.supported is None]
    assert undecided
    assert all(c.note for c in undecided if c.low is None)
    assert any("needs 53" in c.note for c in undecided)


def test_an_empty_run_decides_nothing(tmp_path):
    run = make_run(tmp_path / "empty", steps=0)
    claims = figure1_claims(run, run)
    assert all(c.supported is None and c.effect is None for c in claims)


def test_the_window_of_a_short_and_a_long_run():
    assert (fluctuation_window(30), fluctuation_window(2000)) == (10, 100)
