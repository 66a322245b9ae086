"""The action of GitHub and the template of GitLab: their shell runs here, with a program in the place of `unshaken`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
GATES = "clean.accuracy >= 0.9\n   \npgd[eps=8/255].accuracy.low >= 0.3\n"
RECORD = f"""#!{sys.executable}
import json, os, sys
with open(os.environ["RECORD"], "w") as file:
    json.dump(sys.argv[1:], file)
sys.exit(int(os.environ.get("CODE", "1")))
"""
EXPECTED = [
    *("audit", "--model", "py:net.py:make; rm -rf x", "--data", "folder:my photos", "--plan", "quick"),
    *("--out", "runs/a", "--quiet", "--gate", "clean.accuracy >= 0.9"),
    *("--gate", "pgd[eps=8/255].accuracy.low >= 0.3", "--baseline", "runs/main"),
]
VALUES = {
    "MODEL": "py:net.py:make; rm -rf x", "DATA": "folder:my photos", "PLAN": "quick", "GATES": GATES, "OUT": "runs/a",
    "BASELINE": "runs/main", "LIMIT": "",
}  # fmt: skip


@pytest.fixture
def run(tmp_path):
    program = tmp_path / "bin" / "unshaken"
    program.parent.mkdir()
    program.write_text(RECORD)
    program.chmod(0o755)

    def call(shell, script, **values):
        path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**values, "PATH": path, "RECORD": str(tmp_path / "record.json")}
        code = subprocess.run([*shell, script], env=environment, cwd=tmp_path, check=False).returncode
        record = tmp_path / "record.json"
        return code, json.loads(record.read_text()) if record.exists() else None

    return call


@pytest.fixture(scope="module")
def action():
    return yaml.safe_load((ROOT / "action.yml").read_text())


def step(action, name):
    (found,) = [s for s in action["runs"]["steps"] if s.get("name") == name]
    return found


def test_the_action_gives_every_input_as_one_word(action, run):
    audit = step(action, "Audit")
    assert audit["env"] == {name: f"${{{{ inputs.{name.lower()} }}}}" for name in VALUES}
    assert run(["bash", "-eo", "pipefail", "-c"], audit["run"], **VALUES) == (1, EXPECTED)


def test_no_input_is_part_of_a_commands_text(action):
    assert [s["name"] for s in action["runs"]["steps"] if "${{" in s.get("run", "")] == []
    used = set(re.findall(r"inputs\.([\w-]+)", json.dumps(action["runs"]) + json.dumps(action["outputs"])))
    assert used == set(action["inputs"])


def test_the_action_summarises_a_report_that_is_there(action, run, tmp_path):
    summary = tmp_path / "summary.md"
    script, values = step(action, "Summary")["run"], {"OUT": "runs/a", "GITHUB_STEP_SUMMARY": str(summary)}
    assert run(["bash", "-eo", "pipefail", "-c"], script, **values)[0] == 0
    assert not summary.exists()
    (tmp_path / "runs" / "a").mkdir(parents=True)
    (tmp_path / "runs" / "a" / "report.md").write_text("# Report\n")
    assert run(["bash", "-eo", "pipefail", "-c"], script, **values)[0] == 0
    assert summary.read_text() == "# Report\n"


GH = f"""#!{sys.executable}
import json, os, sys
with open(os.environ["CALLS"], "a") as file:
    print(json.dumps(sys.argv[1:]), file=file)
if "--jq" in sys.argv:
    print(os.environ["FOUND"], end="")
"""


@pytest.mark.parametrize("found", ["", "7\n", "7\n8\n"])
def test_the_action_replaces_its_own_comment_and_no_other(action, run, tmp_path, found):
    (tmp_path / "bin" / "gh").write_text(GH)
    (tmp_path / "bin" / "gh").chmod(0o755)
    (tmp_path / "runs" / "a b").mkdir(parents=True)
    (tmp_path / "runs" / "a b" / "report.md").write_text("é" * 40_000)
    values = {"OUT": "runs/a b", "RUNNER_TEMP": str(tmp_path), "NUMBER": "3", "REPOSITORY": "o/r", "FOUND": found}
    script = step(action, "Comment")["run"]
    assert run(["bash", "-eo", "pipefail", "-c"], script, CALLS=str(tmp_path / "calls"), **values)[0] == 0
    look, write = map(json.loads, (tmp_path / "calls").read_text().splitlines())
    assert look[:3] == ["api", "--paginate", "repos/o/r/issues/3/comments"]
    assert 'select(.user.type == "Bot" and (.body | startswith(env.MARK)))' in look[-1]
    to = ["PATCH", "repos/o/r/issues/comments/7"] if found else ["POST", "repos/o/r/issues/3/comments"]
    assert write[2:] == ["--method", *to, "-F", f"body=@{tmp_path}/comment.md"]
    body = (tmp_path / "comment.md").read_text("utf-8")
    assert body.startswith("<!-- unshaken: runs/a-b -->\né")
    assert 30_000 <= len(body) < 30_100


def test_the_template_of_gitlab_gives_every_variable_as_one_word(run):
    job = yaml.safe_load((ROOT / "ci" / "gitlab.yml").read_text())[".unshaken"]
    values = {f"UNSHAKEN_{name}": value for name, value in VALUES.items()}
    assert run(["sh", "-ec"], job["script"][0], **values) == (1, EXPECTED)
    assert job["artifacts"]["reports"]["junit"] == "$UNSHAKEN_OUT/junit.xml"
    assert job["artifacts"]["when"] == "always"
    assert run(["sh", "-ec"], job["after_script"][0], UNSHAKEN_OUT="runs/a")[0] == 0


@pytest.mark.parametrize(("verdict", "code"), [("held", 0), ("undecided", 1), (None, 2)])
def test_a_run_passes_only_by_the_verdict_in_its_directory(action, run, tmp_path, verdict, code):
    (tmp_path / "runs" / "a").mkdir(parents=True)
    if verdict is not None:
        kept = json.dumps({"schema": 1, "verdict": verdict}, indent=1)
        (tmp_path / "runs" / "a" / "gates.json").write_text(kept)
    job = yaml.safe_load((ROOT / "ci" / "gitlab.yml").read_text())[".unshaken"]
    values = {f"UNSHAKEN_{name}": value for name, value in VALUES.items()}
    script = step(action, "Audit")["run"]
    assert run(["bash", "-eo", "pipefail", "-c"], script, CODE="0", **VALUES)[0] == code
    assert run(["sh", "-ec"], job["script"][0], CODE="0", **values)[0] == code
    assert run(["sh", "-ec"], job["script"][0], CODE="0", **{**values, "UNSHAKEN_GATES": " \n"})[0] == 0


def test_the_image_runs_without_root():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    last = [line for line in lines if line.startswith(("FROM", "USER"))][-1]
    assert re.fullmatch(r"USER [1-9]\d+:[1-9]\d+", last)
