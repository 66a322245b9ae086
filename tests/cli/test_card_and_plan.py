"""`unshaken card` and `unshaken plan check`."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def test_a_card_is_printed_or_written(unshaken, place):
    assert unshaken("audit --model demo --data demo --plan fog.yaml --limit 20 --quiet --out run").code == 0
    printed = unshaken("card run --name camera")
    assert printed.code == 0
    assert printed.out.startswith("---\nmodel-index:\n- name: camera\n")
    assert unshaken("card run --name camera --into README.md").out == "card: README.md\n"
    assert Path("README.md").read_text() == printed.out
    assert unshaken("card run --into absent/README.md").code == 2
    assert unshaken("card run --into photos").err.startswith("unshaken: --into 'photos' cannot be read")


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
