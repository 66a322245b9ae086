"""`unshaken merge`, from the parts that other calls made, and `unshaken plan check`."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
import yaml

AUDIT = "audit --model py:net.py:build --data folder:many --plan fog.yaml --quiet"


@pytest.fixture
def parts(place, world, unshaken, monkeypatch):
    """Two parts of a run of 40 images in shards of 16."""
    world.write_photos(place / "many", each=20)
    monkeypatch.setattr("unshaken.store.split.LARGEST_SHARD", 16)
    for k in (1, 2):
        assert unshaken(f"{AUDIT} --part {k}/2 --out part-{k}").code == 0
    return place


def test_parts_become_one_run_whose_gates_are_judged(parts, unshaken):
    done = unshaken("merge part-1 part-2 --out whole --gate 'clean.accuracy >= 0.9' --json")
    summary = json.loads(done.out)
    assert (done.code, summary["complete"], summary["clean"]["n"]) == (0, True, 40)
    assert (parts / "whole/report.html").exists()
    assert (parts / "whole/junit.xml").exists()
    assert unshaken("merge part-1 part-2 --out again --gate 'clean.accuracy < 0.1' -q").code == 1
    assert unshaken("merge again whole --out third -q").code == 1  # the gates of both
    refused = unshaken("merge part-1 part-2 --out again")
    assert (refused.code, "already holds a run" in refused.err) == (2, True)


def test_a_missing_part_is_named_and_nothing_is_written(parts, unshaken):
    done = unshaken("merge part-2 --out whole")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("unshaken: whole: not merged, 24 of 40 samples (")
    assert "part 1/2 is not among them" in done.err
    assert not (parts / "whole").exists()
    done = unshaken("merge part-2 --out few --allow-missing -q --gate 'clean.accuracy >= 0.1'")
    assert done.code == 2
    assert "gate not decided: clean.accuracy >= 0.1: the run is not complete; finish it with --resume" in done.err
    assert unshaken("merge part-2 --out whole --allow-missing -q").code == 0
    assert unshaken(f"{AUDIT} --out whole --resume").code == 0
    assert json.loads((parts / "whole/summary.json").read_text())["complete"]


def test_detectors_are_not_split(parts, unshaken):
    line = "detect score --model py:net.py:build --data folder:many --detectors none --part 1/2 --out new"
    assert "cannot be split" in unshaken(line).err
    assert "give --model" in unshaken("audit --data folder:many --part 1/2 --out new").err


ROOT = Path(__file__).parents[2]


def test_plans_are_checked_without_a_run(unshaken, place):
    done = unshaken("plan check quick fog.yaml")
    assert (done.code, done.err) == (0, "")
    assert re.fullmatch(r"quick: \d+ lines, \d+ conditions\nfog\.yaml: 1 lines, 1 conditions\n", done.out)


def test_every_wrong_plan_is_named(unshaken, place):
    Path("a.yaml").write_text("- {method: fogg, severities: [1]}\n")
    Path("b.yaml").write_text("- {method: fog, severities: [9]}\n")
    done = unshaken("plan check a.yaml fog.yaml b.yaml absent.yaml")
    assert done.code == 2
    assert [line.partition(":")[0] for line in done.err.splitlines()] == ["a.yaml", "b.yaml", "absent.yaml", "unshaken"]
    assert "did you mean 'fog'" in done.err
    assert done.err.endswith("unshaken: 3 of 4 plans cannot be run\n")


def test_the_hook_of_pre_commit_calls_a_command_that_is_there(unshaken):
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    program, *words = hook["entry"].split()
    assert program == "unshaken"
    assert unshaken(*words, "--help").code == 0
    chosen = re.compile(hook["files"])
    assert [f for f in ("plan.yaml", "ci/robust-plan.yml", "plans/fog.yaml", "net.yaml") if chosen.search(f)] == [
        "plan.yaml", "ci/robust-plan.yml", "plans/fog.yaml",
    ]  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="paths are shorter")
def test_a_run_directory_may_have_a_long_path_and_a_longer_one_is_refused(unshaken, place):
    audit = "audit --model demo --data demo --limit 4 --plan fog.yaml --quiet --out"
    assert unshaken(f"{audit} {'/'.join(['r' * 60] * 4)}").code == 0
    done = unshaken(f"{audit} {place}/{'/'.join(['r' * 99] * 40)}")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert done.err.endswith("cannot write (File name too long); choose another --out\n")
