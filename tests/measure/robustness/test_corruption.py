import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure import BENCHMARK, corruption_error
from unshaken.measure.robustness.corruption import ALEXNET_CLEAN_ERROR, ALEXNET_ERROR, VALIDATION

FIVE = (1, 2, 3, 4, 5)


def rows(n, correct, names=BENCHMARK, severities=FIVE):
    """Rows of n samples in all cells; `correct(name, severity)` gives each cell's `[n]`."""
    cells = [(c, s) for c in names for s in severities]
    return {
        "ids": np.tile([f"{i:05d}" for i in range(n)], len(cells)),
        "corruption": np.repeat([c for c, _ in cells], n),
        "severity": np.repeat([s for _, s in cells], n),
        "correct": np.concatenate([np.asarray(correct(c, s), bool) for c, s in cells]),
    }


def half(*_):
    return [1, 0, 1, 0]


CLEAN = {"clean_ids": ["00003", "00001", "00000", "00002"], "clean_correct": [1, 1, 1, 0]}


def test_one_half_everywhere_has_the_known_scores():
    r = corruption_error(**rows(4, half), imagenet=True, **CLEAN)
    assert r.mce.value == pytest.approx(0.646726, abs=5e-7)
    assert r.relative_mce.value == pytest.approx(0.814695, abs=5e-7)  # clean error 1/4
    assert r.mean_error.value == 0.5
    assert (r.n, r.mce.n, r.without_mce, r.without_relative_mce) == (4, 4, "", "")
    assert r.ce["fog"].value == pytest.approx(0.5 / 0.819324)
    assert len(r.by_cell) == 75


def test_alexnet_has_an_mce_of_one():
    # as near to AlexNet's mean errors as 1000 samples allow: each CE is within 1e-4 / 0.56 of 1
    def alexnet(c, s):
        wrong = round(5000 * ALEXNET_ERROR[c])
        return np.arange(1000) >= wrong // 5 + (s <= wrong % 5)

    r = corruption_error(**rows(1000, alexnet), imagenet=True, resamples=50)
    assert r.mce.value == pytest.approx(1, abs=2e-4)
    assert all(r.ce[c].value == pytest.approx(1, abs=2e-4) for c in BENCHMARK)


def test_figures_per_corruption_and_cell_by_hand():
    # fog: 1 of 2 wrong at severity 1, 2 of 2 at 2 -> 3/4; snow: none at 1, 1 of 2 at 2 -> 1/4; the mean 1/2
    given = {("fog", 1): [1, 0], ("fog", 2): [0, 0], ("snow", 1): [1, 1], ("snow", 2): [0, 1]}
    r = corruption_error(**rows(2, lambda *c: given[c], ("snow", "fog"), (1, 2)), imagenet=False)
    assert {c: f.value for c, f in r.by_corruption.items()} == {"fog": 0.75, "snow": 0.25}
    assert {c: f.value for c, f in r.by_cell.items()} == {c: 1 - np.mean(v) for c, v in given.items()}
    assert r.by_cell["fog", 2].low == pytest.approx(0.025**0.5)  # 2 of 2 wrong
    assert r.mean_error.value == 0.5


def test_a_corruption_with_fewer_severities_weighs_as_much_as_another():
    one, two = rows(2, lambda *_: [0, 0], ("fog",), (3,)), rows(2, lambda *_: [1, 1], ("snow",))
    both = {k: np.concatenate([one[k], two[k]]) for k in one}
    assert corruption_error(**both, imagenet=False).mean_error.value == 0.5


def test_the_order_of_rows_changes_nothing():
    columns = rows(50, lambda *_: np.arange(50) % 3 > 0)
    order = np.random.default_rng(0).permutation(len(columns["ids"]))
    shuffled = {k: v[order] for k, v in columns.items()}
    assert corruption_error(**columns, imagenet=True) == corruption_error(**shuffled, imagenet=True)


def test_cells_that_fail_together_leave_the_interval_of_one_cell():
    # the same half of 400 samples fails in all 75 cells: the standard error is that of one cell, sqrt(.25 / 400)
    r = corruption_error(**rows(400, lambda *_: np.arange(400) % 2), imagenet=True)
    assert r.mean_error.high - r.mean_error.low == pytest.approx(2 * 1.96 * 0.025, rel=0.06)
    assert r.mean_error.interval == "clopper-pearson 95%"  # each sample errs in all cells or in none


def test_cells_that_fail_in_turn_leave_the_uncertainty_of_samples_that_were_not_seen():
    r = corruption_error(
        **rows(100, lambda c, _: (np.arange(100) % 2) == (c == "fog"), ("fog", "snow")), imagenet=False
    )
    assert r.mean_error.high - r.mean_error.low == pytest.approx(1 - 0.025 ** (1 / 100))  # they may be at 0 or 1
    assert r.by_corruption["fog"].high - r.by_corruption["fog"].low > 0.15


def test_a_corruption_that_changes_nothing_has_a_relative_mce_of_zero():
    right = np.arange(40) % 4 > 0
    clean = {"clean_ids": [f"{i:05d}" for i in range(40)], "clean_correct": right}
    r = corruption_error(**rows(40, lambda *_: right), imagenet=True, **clean)
    assert r.relative_mce.value == pytest.approx(0, abs=1e-12)
    most = np.mean([1 / (ALEXNET_ERROR[c] - ALEXNET_CLEAN_ERROR) for c in BENCHMARK])  # all lost of a missed sample
    assert r.relative_mce.high == pytest.approx(most * (1 - 0.025 ** (1 / 40))) == -r.relative_mce.low
    assert r.mce.high > r.mce.low


def test_extra_corruptions_have_a_ce_but_no_part_in_mce():
    def right(c, _):
        return [1, 0, 1, 0] if c in BENCHMARK else [0, 0, 0, 0]

    r = corruption_error(**rows(4, right, (*BENCHMARK, *VALIDATION, "sparkles")), imagenet=True)
    assert r.mce.value == pytest.approx(0.646726, abs=5e-7)
    assert r.ce["saturate"].value == pytest.approx(1 / 0.658248)
    assert "sparkles" not in r.ce
    assert r.mean_error.value == pytest.approx((15 * 0.5 + 5) / 20)


@pytest.mark.parametrize(
    ("options", "names", "severities", "reason"),
    [
        ({"imagenet": False}, BENCHMARK, FIVE, "not ImageNet's"),
        ({"imagenet": True}, BENCHMARK[1:], FIVE, "there is no gaussian_noise"),
        ({"imagenet": True}, BENCHMARK, (1, 3, 5), "gaussian_noise at severity 2, 4; shot_noise"),
        (
            {"imagenet": True, "not_comparable": {"frost": "procedural texture"}},
            BENCHMARK,
            FIVE,
            "frost is not the benchmark's (procedural texture)",
        ),
    ],
)
def test_mce_is_withheld_with_its_reason(options, names, severities, reason):
    r = corruption_error(**rows(4, half, names, severities), **options, **CLEAN)
    assert r.mce is None
    assert r.relative_mce is None
    assert reason in r.without_mce
    assert r.without_relative_mce == r.without_mce
    assert r.mean_error.value == pytest.approx(0.5)
    assert ("frost" in r.ce) == (options["imagenet"] and severities == FIVE and "not_comparable" not in options)


def test_without_clean_rows_only_relative_mce_is_withheld():
    r = corruption_error(**rows(4, half), imagenet=True)
    assert r.mce.value == pytest.approx(0.646726, abs=5e-7)
    assert r.relative_mce is None
    assert "clean rows" in r.without_relative_mce


def test_a_missing_cell_is_refused_or_left_out_when_asked():
    columns = {k: v[1:] for k, v in rows(4, half).items()}
    with pytest.raises(
        ParameterError, match="1 of 4 samples lack a row in at least one of 75 conditions, such as '00000'"
    ):
        corruption_error(**columns, imagenet=True)
    r = corruption_error(**columns, imagenet=True, complete_only=True)
    assert (r.n, r.dropped) == (3, 1)
    assert r.mean_error.value == pytest.approx(2 / 3)


def test_a_missing_clean_row_is_refused_or_left_out_when_asked():
    clean = {"clean_ids": ["00000", "00001", "00002", "other"], "clean_correct": [1, 1, 0, 0]}
    with pytest.raises(ParameterError, match="1 of 4 ids are missing on the second side"):
        corruption_error(**rows(4, half), imagenet=True, **clean)
    r = corruption_error(**rows(4, half), imagenet=True, complete_only=True, **clean)
    assert (r.n, r.dropped) == (3, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clean_ids": ["00000"]}, "clean_ids and clean_correct together"),
        ({"clean_ids": ["x", "y"], "clean_correct": [1, 0]}, "none of the 4 samples has a clean row"),
        ({"clean_ids": ["00000"], "clean_correct": [1, 0]}, "clean_ids 1, clean_correct 2"),
        ({"correct": [np.nan] * 300}, "300 missing"),
        ({"severity": [1.5] * 300}, "whole numbers"),
        ({"severity": [1] * 299}, "severity 299"),
        ({"severity": [1] * 300}, "more than once"),
    ],
)
def test_bad_input_is_refused(change, message):
    with pytest.raises(ParameterError, match=message):
        corruption_error(**{**rows(4, half), **change}, imagenet=True)


def test_there_are_15_and_4():
    assert (len(BENCHMARK), len(VALIDATION)) == (15, 4)
    assert set(ALEXNET_ERROR) == {*BENCHMARK, *VALIDATION}


def test_the_authors_figures_per_severity_have_these_means():
    # gaussian noise, elastic transform and snow at severities 1 to 5, as the authors list them
    assert ALEXNET_ERROR["gaussian_noise"] == pytest.approx(np.mean([0.69528, 0.82542, 0.93554, 0.98138, 0.99452]))
    assert ALEXNET_ERROR["elastic_transform"] == pytest.approx(np.mean([0.52596, 0.70116, 0.55686, 0.64076, 0.80554]))
    assert ALEXNET_ERROR["snow"] == pytest.approx(np.mean([0.71726, 0.88392, 0.86468, 0.9187, 0.94952]))


def test_an_error_of_one_half_everywhere_has_the_known_scores():
    assert np.mean([0.5 / ALEXNET_ERROR[c] for c in BENCHMARK]) == pytest.approx(0.646726, abs=5e-7)
    relative = [0.25 / (ALEXNET_ERROR[c] - ALEXNET_CLEAN_ERROR) for c in BENCHMARK]
    assert np.mean(relative) == pytest.approx(0.814695, abs=5e-7)
