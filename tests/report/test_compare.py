from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from scipy.stats import binomtest, norm

from unshaken import api
from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.paired import tango
from unshaken.report import build, check_gates, compare_runs
from unshaken.report.compare import companion_runs
from unshaken.report.sections.comparison import answer
from unshaken.report.write import write_comparison, write_report
from unshaken.store.config import Entry, read_config
from unshaken.store.run_dir import RunDir

Make = Callable[..., RunDir]
FOG = [Entry(method="fog", severities=(1, 3))]


def test_a_paired_difference_is_the_one_counted_by_hand(make_run: Make) -> None:
    # fog-3: wrong when i % 8 < 3 against i % 8 < 5: 2 of 8 samples lost, none gained.
    before, after = make_run("before", plan=FOG, bad=False), make_run("after", plan=FOG, bad=False, shift=2.0, seed=0)
    (result,) = compare_runs([before, after]).runs
    one = {c.condition.id: c for c in result.conditions}
    assert (one["fog-3"].paired.lost, one["fog-3"].paired.gained) == (12, 0)
    assert one["fog-3"].paired.difference.value == -0.25
    assert one["fog-3"].paired.p_value == pytest.approx(binomtest(0, 12).pvalue)
    assert (one["fog-3"].baseline.value, one["fog-3"].candidate.value) == (30 / 48, 18 / 48)
    assert (one["clean"].paired.lost, one["clean"].paired.gained) == (0, 0)
    # three conditions: three times the larger p, which for 12 of 12 is that of the score test
    assert one["fog-3"].paired.p_adjusted == pytest.approx(3 * 2 * norm.sf(12**0.5))
    assert one["fog-3"].paired.family == 3
    low, high = tango(12, 0, 48, level=1 - 0.05 / 3)
    assert (one["fog-3"].paired.difference.low, one["fog-3"].paired.difference.high) == (low, high)
    assert [c.verdict for c in result.conditions] == ["not shown", "worse", "worse"]


def test_differences_by_slice_are_paired_and_one_family(make_run: Make, tmp_path: Path) -> None:
    """In fog-3 the candidate loses samples 3 and 4 of every 8: the half `high`, of places 4 to 7, loses one in 4."""
    before, after = make_run("before", plan=FOG, bad=False), make_run("after", plan=FOG, bad=False, shift=2.0)
    lines = [f"dir/{i:03d}.png,{'high' if i % 8 >= 4 else 'low'},same" for i in range(48)]
    (tmp_path / "meta.csv").write_text("\n".join(["id,place,all_alike", *lines]))
    api.slices(before, ["place", "all_alike"], meta=tmp_path / "meta.csv")
    (result,) = compare_runs([before, after]).runs
    found = {(c.part, c.condition.id): c for c in result.slices}
    assert set(found) == {(part, c) for part in ("high", "low") for c in ("clean", "fog-1", "fog-3")}
    high, low = found["high", "fog-3"], found["low", "fog-3"]
    assert (high.baseline.value, high.candidate.value) == (1.0, 0.75)
    assert (low.baseline.value, low.candidate.value) == (0.25, 0.0)
    assert (high.paired.lost, high.paired.gained, high.paired.n, high.paired.family) == (6, 0, 24, 6)
    assert high.paired.p_value == binomtest(0, 6).pvalue
    assert found["low", "fog-1"].verdict == "worse"  # 12 of 24 lost
    kept = result.to_json()["slices"]
    assert {(r["slicing"], r["verdict"]) for r in kept} == {("place", "worse"), ("place", "not shown")}
    page = write_comparison(RunDir(tmp_path / "page"), compare_runs([before, after]))
    assert "place = low" in RunDir(tmp_path / "page").read("compare.md").decode()
    assert page.title


def test_several_runs_are_one_family(make_run: Make) -> None:
    runs = [make_run(f"r{i}", plan=FOG, bad=False, shift=float(i)) for i in range(3)]
    both = compare_runs(runs)
    assert [c.paired.family for r in both.runs for c in r.conditions] == [6] * 6
    assert both.runs[1].conditions[2].paired.p_adjusted == pytest.approx(6 * 2 * norm.sf(12**0.5))
    assert both.to_json()["comparisons"][1]["conditions"][2]["verdict"] == "worse"


def test_the_answer_names_the_largest_difference_that_is_shown(make_run: Make) -> None:
    runs = [make_run(f"r{i}", plan=FOG, bad=False, shift=s, model_name=f"net {i}") for i, s in enumerate((0, 0, 2, -2))]
    same, worse, better = compare_runs(runs).runs
    assert answer(same) == "cannot be told apart from net 0"
    for one, verdict in ((worse, "worse"), (better, "better")):
        shown = [c for c in one.conditions if c.verdict == verdict]
        most = max(abs(c.paired.difference.value) for c in shown)
        (named,) = re.findall(rf"is {verdict} than net 0 by ([\d.]+) points .* \(([\d.]+) to ([\d.]+)\)$", answer(one))
        assert named[0] == f"{100 * most:.1f}"
        assert 0 <= float(named[1]) <= float(named[0]) <= float(named[2])


def test_runs_of_one_model_are_told_apart_by_their_folders(make_run: Make, tmp_path: Path) -> None:
    runs = [make_run(name, plan=FOG, bad=False, shift=shift) for name, shift in (("x/one", 0.0), ("y/one", 2.0))]
    third = make_run("three", plan=FOG, bad=False, model_name="third net")
    (alone,) = compare_runs(runs).runs
    assert (alone.baseline_name, alone.candidate_name) == ("small net (x/one)", "small net (y/one)")
    assert answer(alone).startswith("is worse than small net (x/one) by")
    second, last = compare_runs([third, *runs]).runs
    assert [one.baseline_name for one in (second, last)] == ["third net", "third net"]
    assert [one.candidate_name for one in (second, last)] == ["small net (x/one)", "small net (y/one)"]
    (itself,) = compare_runs([runs[0], runs[0]]).runs
    assert itself.baseline_name == itself.candidate_name == "small net"


def test_only_significant_worsening_fails_the_gate(make_run: Make) -> None:
    base = make_run("base", plan=FOG, bad=False)
    for name, shift, held in (("same", 0.0, True), ("better", -2.0, True), ("worse", 2.0, False)):
        summary = build(make_run(name, plan=FOG, bad=False, shift=shift), baseline=base)
        (result,) = check_gates(["no-regression"], summary.data, summary.comparison)
        assert result.held is held
    assert "fog-3: 62.5 % to 37.5 %" in result.detail
    # 8 samples: one lost in each condition is no evidence
    small = make_run("small", plan=FOG, n=8, shards=1, bad=False)
    summary = build(make_run("one", plan=FOG, n=8, shards=1, bad=False, shift=1.0), baseline=small)
    assert check_gates(["no-regression"], summary.data, summary.comparison)[0].held


def test_runs_with_other_limits_are_compared_on_the_samples_of_both(make_run: Make) -> None:
    base, fewer = make_run("base", plan=FOG, bad=False), make_run("fewer", plan=FOG, n=40, bad=False, shift=2.0)
    (common,) = compare_runs([base, fewer]).runs
    assert common.n == 40
    assert common.notes[0] == "compared on the 40 samples of both runs, of 48 and 40"
    fog = common.conditions[2]
    assert (fog.baseline.n, fog.candidate.n, fog.paired.difference.n) == (40, 40, 40)
    assert fog.paired.difference.value == fog.candidate.value - fog.baseline.value
    (result,) = check_gates(["no-regression"], (summary := build(fewer, baseline=base)).data, summary.comparison)
    assert "(3 conditions on 40 samples)" in result.detail
    write_report(fewer, baseline=base)
    assert "compared on the 40 samples of both runs, of 48 and 40" in fewer.read("report.html").decode()


def test_a_verdict_is_what_its_interval_says(make_run: Make) -> None:
    """Where a difference is not shown its interval holds 0, and elsewhere it does not, of any shift."""
    base = make_run("base", plan=FOG, n=40, shards=1, bad=False, shift=2.0)
    runs = [make_run(f"r{i}", plan=FOG, n=40, shards=1, bad=False, shift=float(i)) for i in (0, 1, 3, 5)]
    found = [c for run in compare_runs([base, *runs]).runs for c in run.conditions]
    assert {c.verdict for c in found} == {"better", "worse", "not shown"}
    for one in found:
        gap = one.paired.difference
        assert one.verdict == ("worse" if gap.high < 0 else "better" if gap.low > 0 else "not shown")
        assert (one.paired.p_adjusted < 0.05) == (one.verdict != "not shown")


def test_other_data_are_refused(make_run: Make) -> None:
    base = make_run("base", plan=FOG, bad=False)
    with pytest.raises(ParameterError, match="not on the same data"):
        compare_runs([base, make_run("other", plan=FOG, bad=False, data_fingerprint="ef" * 32)])
    other = {"data_fingerprint": "ef" * 32, "labels_version": "r@24"}
    with pytest.raises(ParameterError, match=r"other labels \(as given and r@24\).*unshaken labels compare"):
        compare_runs([base, make_run("relabelled", plan=FOG, bad=False, **other)])
    with pytest.raises(ParameterError, match="no labels"):
        compare_runs([base, make_run("unlabelled", plan=FOG, bad=False, labelled=False)])
    with pytest.raises(ParameterError, match="at least two"):
        compare_runs([base])


def test_a_condition_made_in_two_ways_is_not_compared(make_run: Make) -> None:
    one = make_run("one", plan=[Entry(method="fgsm", eps=(0.1,)), Entry(method="pgd", eps=(0.1,), params={"steps": 5})])
    two = make_run("two", plan=[Entry(method="pgd", eps=(0.1,), params={"steps": 50}), *FOG], seed=1)
    (result,) = compare_runs([one, two]).runs
    assert [c.condition.id for c in result.conditions] == ["clean"]
    assert result.only_baseline == ("fgsm-linf-0.1",)
    assert result.only_candidate == ("fog-1", "fog-3")
    assert "pgd-linf-0.1: made with other parameters" in result.notes[0]
    assert "the seeds differ (0 and 1)" in result.notes[1]


def test_defaults_spelt_out_are_no_other_way(make_run: Make) -> None:
    one = make_run("one", plan=[Entry(method="pgd", eps=(0.1,))])
    two = make_run("two", plan=[Entry(method="pgd", eps=(0.1,), params={"steps": 40})])
    (result,) = compare_runs([one, two]).runs
    assert [c.condition.id for c in result.conditions] == ["clean", "pgd-linf-0.1"]


@pytest.mark.parametrize(
    ("path", "place", "expected"),
    [("/a/run", "robust", "/a/run/robust"), ("/a/run", "../b", "/a/b"), ("memory://x/run", "../b", "memory://x/b")],
)
def test_runs_beside_are_found_relative_to_this_one(make_run: Make, path: str, place: str, expected: str) -> None:
    config = read_config(make_run(plan=FOG, beside=[place]))
    assert [r.path for r in companion_runs(RunDir(path), config)] == [expected]


def test_neither_a_comparison_nor_a_report_shows_a_password(write: Make, tmp_path: Path) -> None:
    where = f"compare-{tmp_path.name}"
    place = f"memory://ann:s3cr3t@{where}"
    before, after = (write(f"{place}/{n}", plan=FOG, bad=False, shift=s) for n, s in (("before", 0.0), ("after", 2.0)))
    out = RunDir(f"{place}/out")
    write_comparison(out, compare_runs([before, after]))
    write_report(after, baseline=before)
    files = [out.read(f"compare.{kind}") for kind in ("html", "md", "json")]
    files += [after.read(name) for name in ("report.html", "report.md", "summary.json")]
    assert not any(b"s3cr3t" in file for file in files)
    assert out.read_json("compare.json")["comparisons"][0]["baseline"] == f"memory://{where}/before"


def test_rows_that_lack_are_named_with_the_run(make_run: Make) -> None:
    whole, torn = make_run("whole", plan=FOG, bad=False), make_run("torn", plan=FOG, bad=False, shift=2.0)
    torn.fs.rm(torn.at("rows", "outcomes", "fog-3-00001.parquet"))
    (result,) = compare_runs([whole, torn]).runs
    fog = next(c for c in result.conditions if c.condition.id == "fog-3")
    assert (result.n, fog.paired.n) == (48, 24)
    assert result.notes[0] == f"{torn} lacks rows of 24 samples under fog-3, left out: finish it with --resume"
    assert fog.paired.difference.value == fog.candidate.value - fog.baseline.value
