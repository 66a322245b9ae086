"""Whole commands on the user's own model and images."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

OWN = "audit --model py:net.py:build --data folder:photos --out run"


def rows(run: Path) -> list[dict[str, object]]:
    """All outcomes without times, in order."""
    names = ["id", "condition", "label", "prediction", "logits", "distance", "error"]
    found = [
        r
        for f in sorted((run / "rows/outcomes").glob("*.parquet"))
        for r in pq.read_table(f, columns=names).to_pylist()
    ]
    return sorted(found, key=lambda r: (r["condition"], r["id"]))


def test_one_command_gives_a_report_and_the_figures_known_by_hand(unshaken, place):
    done = unshaken(f"{OWN} --plan fgsm.yaml --json")
    assert (done.code, done.err) == (0, "")
    summary = json.loads(done.out)
    accuracy = {c["condition"]: c["accuracy"]["value"] for c in summary["conditions"]}
    # the mean lies 0.3 from the boundary, and an linf step of eps moves it by eps
    assert summary["clean"]["value"] == 1.0
    assert list(accuracy.values()) == [1.0, 0.0]
    assert "<html" in (place / "run/report.html").read_text()
    assert json.loads((place / "run/summary.json").read_text()) == summary


def test_the_table_has_each_condition_its_interval_and_its_drop(unshaken, place):
    done = unshaken(f"{OWN} --plan fgsm.yaml")
    lines = {line.split("  ")[0]: line.split() for line in done.out.splitlines()}
    # Clopper-Pearson of 12 in 12: 1 - 0.025 ** (1 / 12) = 0.265 is the largest failure rate not ruled out
    assert lines["unchanged"][1:] == ["100.0", "%", "(73.5", "to", "100.0)", "–"]
    assert lines["FGSM L∞, ε 0.4"][-6:] == ["0.0", "%", "(0.0", "to", "26.5)", "100.0"]
    assert done.out.splitlines()[-1] == "report: run/report.html"


def test_quiet_prints_the_place_of_the_report_only(unshaken, place):
    done = unshaken(f"{OWN} --plan fog.yaml --quiet")
    assert (done.code, done.out, done.err) == (0, "run/report.html\n", "")


def test_a_failed_gate_gives_1_and_the_figure_met(unshaken, place):
    done = unshaken(*f"{OWN} --plan fgsm.yaml --gate".split(), "fgsm.accuracy >= 0.5", "--gate", "clean.accuracy > 0.9")
    assert done.code == 1
    gates = [line for line in done.out.splitlines() if line.startswith("gate ")]
    assert gates[0].startswith("gate FAILED: fgsm.accuracy >= 0.5: fgsm-linf-0.4 accuracy, the worst of 2: 0.00 % (")
    assert gates[1].startswith("gate held: clean.accuracy > 0.9: clean: 100.00 % (")
    assert (place / "run/junit.xml").read_text().count("<failure") == 1


def test_a_bad_sample_gives_3_and_a_failed_gate_wins(unshaken, place):
    (place / "photos/dark/broken.png").write_bytes(b"")
    done = unshaken(f"{OWN} --plan fog.yaml")
    assert done.code == 3
    assert "bad samples: 1 left out: dark/broken.png: the file is empty (0 bytes)" in done.out
    again = unshaken(*f"{OWN} --plan fog.yaml --resume --quiet --gate".split(), "clean.accuracy < 0.5")
    assert again.code == 1
    assert [line.split(":")[0] for line in again.err.splitlines()] == ["gate FAILED", "bad samples"]


def test_resuming_a_finished_run_changes_no_row(unshaken, place):
    assert unshaken(f"{OWN} --plan fgsm.yaml --seed 3").code == 0
    before = rows(place / "run")
    assert unshaken(f"{OWN} --plan fgsm.yaml --seed 3 --resume").code == 0
    assert len(before) == 12 * 3
    assert rows(place / "run") == before


def test_attack_runs_one_attack_under_each_budget(unshaken, place):
    done = unshaken(
        "attack --model py:net.py:build --data folder:photos --method pgd:steps=20,rel_stepsize=0.2 "
        "--norm l2 --eps 0.1 --eps 5 --out run --json"
    )
    summary = json.loads(done.out)
    # in l2 the mean of d pixels moves by eps / sqrt(d) at most: 5 / sqrt(192) = 0.36, more than the margin of 0.3
    assert [(c["eps"], c["norm"], c["accuracy"]["value"]) for c in summary["conditions"]] == [
        (0.1, "l2", 1.0),
        (5.0, "l2", 0.0),
    ]


def test_both_demo_networks_stand_side_by_side(unshaken, place):
    done = unshaken("audit --limit 50 --plan fog.yaml --out both")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    (start,) = (i for i, line in enumerate(lines) if line.startswith("condition"))
    assert lines[start].split() == ["condition", "accuracy", "drop", "accuracy,", "demo:robust"]
    assert max(len(line) for line in lines[start : start + 4]) <= 80
    summaries = [json.loads((place / "both" / where / "summary.json").read_text()) for where in ("", "robust")]
    clean = [f"{100 * s['clean']['value']:.1f}" for s in summaries]
    assert [word for word in lines[start + 2].split() if word in clean] == clean
    assert "demo:robust" in (place / "both/report.html").read_text()


def test_report_makes_the_pages_again_from_rows(unshaken, place):
    unshaken(f"{OWN} --plan fog.yaml")
    before = (place / "run/summary.json").read_bytes()
    for name in ("summary.json", "report.html", "report.md"):
        (place / "run" / name).unlink()
    assert unshaken("report run").out == "report: run/report.html\n"
    assert (place / "run/summary.json").read_bytes() == before
    assert (place / "run/report.html").is_file()


@pytest.fixture
def two_runs(unshaken, place):
    """A run of the plain net, and one of a net that calls everything light."""
    (place / "light.py").write_text(
        (place / "net.py").read_text().replace("mean = x.mean((1, 2, 3))", "mean = x.mean((1, 2, 3)) + 0.4")
    )
    unshaken("audit --model py:net.py:build --data folder:photos --plan fog.yaml --out a")
    unshaken("audit --model py:light.py:build --data folder:photos --plan fog.yaml --out b")
    return place


def test_compare_gives_paired_differences_and_a_page_beside_the_last_run(unshaken, two_runs):
    done = unshaken("compare a b")
    assert done.code == 0
    assert done.out.splitlines()[-1] == "page: compare-a-b/compare.html"
    clean = next(line for line in done.out.splitlines() if line.startswith("unchanged images")).split()
    assert clean[2:7] == ["100.0", "%", "50.0", "%", "-50.0"]
    assert "<html" in (two_runs / "compare-a-b/compare.html").read_text()


def test_compare_gives_json(unshaken, two_runs):
    done = unshaken("compare a b --out page --json")
    condition = json.loads(done.out)["comparisons"][0]["conditions"][0]
    assert (condition["condition"], condition["lost"], condition["gained"]) == ("clean", 6, 0)
    # exact McNemar: six of six discordant pairs on one side, 2 / 2 ** 6
    assert condition["p_value"] == pytest.approx(2 / 64)
    assert (two_runs / "page/compare.html").is_file()


def test_a_regression_against_a_baseline_gives_1(unshaken, two_runs, world):
    world.write_photos(two_runs / "many", each=20)
    audit = "audit --data folder:many --plan fog.yaml --model"
    assert unshaken(f"{audit} py:net.py:build --out main").code == 0
    gated = "--baseline main --gate no-regression --quiet"
    assert unshaken(f"{audit} py:net.py:build --out same {gated}").code == 0
    worse = unshaken(f"{audit} py:light.py:build --out worse {gated}")
    assert worse.code == 1
    # 20 of 20 discordant pairs on one side: 2 / 2 ** 20, and Holm's factor 2 for two conditions
    assert "gate FAILED: no-regression: worse: clean: 100.0 % to 50.0 %, a difference of -" in worse.err


def test_a_second_process_finds_the_program_and_the_same_answer(place):
    done = subprocess.run(
        [Path(sys.executable).parent / "unshaken", *f"{OWN} --plan fog.yaml --json".split()],
        capture_output=True, text=True, timeout=250, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["clean"]["n"] == 12
