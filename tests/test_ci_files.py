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


PYTHON = """#!/bin/sh
echo "$*" >> calls
case "$*" in *importlib.metadata*) exit 1 ;; *--index-url*) exit "${CODE:-0}" ;; esac
"""
INDEX = "https://download.pytorch.org/whl/cpu"


@pytest.fixture
def install(tmp_path):
    for name, text in {"python": PYTHON, "nvidia-smi": '#!/bin/sh\nexit "${GPU:-6}"\n'}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)

    def call(shell, script, **values):
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", **values}
        done = subprocess.run(
            [*shell, script], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        calls = (tmp_path / "calls").read_text().splitlines()
        (tmp_path / "calls").unlink()
        pip = [line.removeprefix("-m pip install ") for line in calls if line.startswith("-m pip")]
        return done.returncode, pip, done.stdout + done.stderr

    return call


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="this machine has a GPU")
def test_runners_without_a_gpu_get_torch_for_the_cpu_first(action, install):
    job = yaml.safe_load((ROOT / "ci" / "gitlab.yml").read_text())[".unshaken"]
    script = "\n".join(job["before_script"])
    values = {name: job["variables"][f"UNSHAKEN_{name}"] for name in ("PACKAGE", "TORCH_INDEX")}
    values = {f"UNSHAKEN_{name}": value for name, value in values.items()}
    code, (torch, package), _ = install(["sh", "-ec"], script, **values)
    assert code == 0
    assert f"--index-url {INDEX} torch torchvision" in torch
    assert "--no-deps" in torch
    assert package == "--quiet unshaken"
    code, pip, told = install(["sh", "-ec"], script, CODE="1", **values)
    assert (code, len(pip)) == (0, 2)
    assert told == f"torch: not from {INDEX}: the package index's build, which may be with CUDA\n"
    assert install(["sh", "-ec"], script, GPU="0", **values) == (0, ["--quiet unshaken"], "")
    assert install(["sh", "-ec"], script, **{**values, "UNSHAKEN_TORCH_INDEX": ""}) == (0, ["--quiet unshaken"], "")

    here = {"HERE": str(ROOT), "EXTRAS": "onnx,models", "TORCH": action["inputs"]["torch"]["default"]}
    code, (torch, package), _ = install(["bash", "-eo", "pipefail", "-c"], step(action, "Install")["run"], **here)
    assert code == 0
    assert f"--index-url {INDEX} --quiet --no-deps torch torchvision" in torch
    assert package == f"--quiet {ROOT}[onnx,models]"
    assert "TORCH" in step(action, "Install")["env"]


def test_the_image_gets_what_its_recipe_copies():
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    sent = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert {name for line in copied for name in line.split()} == set(sent)
