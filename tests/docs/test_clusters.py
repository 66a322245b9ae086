"""The scripts and manifests of the page on clusters: their commands run here, as each scheduler would run them."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from unshaken.cli import main
from unshaken.run.engine import read_engine
from unshaken.store.run_dir import RunDir

DOCS = Path(__file__).parents[2] / "docs"
FOLDER = DOCS / "clusters"
PARTS = range(3)
RECORD = f"""#!{sys.executable}
import json, os, sys
with open(os.environ["RECORD"], "a") as file:
    print(json.dumps(sys.argv[1:]), file=file)
sys.exit(int(os.environ["CODE"]))
"""
CODE = """
import torch
from torch import nn
from unshaken.data.arrays import InMemory

def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 2))

def data():
    drawn = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2100, 1, 4, 4), generator=drawn, dtype=torch.uint8)
    return InMemory(images, torch.randint(0, 2, (2100,), generator=drawn))
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a shell script or words; the arguments with which it calls `unshaken`."""
    for name in ("unshaken", "ray"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(RECORD)
        program.chmod(0o755)
    monkeypatch.chdir(tmp_path)

    def call(words, code=0, **values):
        record = tmp_path / "record.jsonl"
        record.unlink(missing_ok=True)
        path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
        environment = {**values, "PATH": path, "RECORD": str(record), "CODE": str(code)}
        ended = subprocess.run(words, env=environment, cwd=tmp_path, check=False).returncode
        return ended, [json.loads(line) for line in record.read_text().splitlines()]

    return call


def container(name):
    """The first container of a Kubernetes job, and its variables."""
    spec = yaml.safe_load((FOLDER / name).read_text())["spec"]
    found = spec["template"]["spec"]["containers"][0]
    return spec, found, {one["name"]: one["value"] for one in found.get("env", ())}


def slurm(run, index, code=0):
    return run(["sh", str(FOLDER / "slurm-array.sh")], code, SLURM_ARRAY_TASK_ID=str(index))


def kubernetes(run, index, code=0):
    _, found, values = container("kubernetes-indexed-job.yaml")
    return run(found["command"], code, JOB_COMPLETION_INDEX=str(index), **values)


def torchrun(run, index, code=0):
    return run(["sh", str(FOLDER / "torchrun-part.sh")], code, RANK=str(index), WORLD_SIZE="3")


def rows(place):
    table = RunDir(place).rows("outcomes")
    return table.drop_columns("seconds").sort_by([("condition", "ascending"), ("id", "ascending")])


def here(arguments):
    """The same arguments with the model and the data of this test."""
    own = {"py:net.py:build": "py:code.py:build", "folder:photos": "py:code.py:data"}
    found = [own.get(a, a) for a in arguments]
    return [*found, "--quiet", *(("--device", "cpu", "--save-examples", "0") if found[0] == "audit" else ())]


def test_the_parts_of_a_slurm_array_merge_to_the_rows_of_one_run(run, tmp_path):
    (tmp_path / "code.py").write_text(CODE)
    (tmp_path / "plan.yaml").write_text("- {method: fgsm, eps: [0.03]}\n")
    calls = [slurm(run, index)[1][0] for index in PARTS]
    for arguments in [*calls, calls[0]]:  # a task that is started again goes on with its part
        assert main(here(arguments)) == 0
    whole = calls[0][: calls[0].index("--part")]
    assert main(here([*whole, "--out", "runs/local"])) == 0
    ended, (merge,) = run(container("kubernetes-merge-job.yaml")[1]["command"])
    assert ended == 0
    assert merge == ["merge", "runs/part-1", "runs/part-2", "runs/part-3", "--out", "runs/whole"]
    assert main(here(merge)) == 0
    assert rows("runs/whole").equals(rows("runs/local"))
    assert isinstance(rows("runs/whole"), pa.Table)
    assert len(rows("runs/whole")) == 2 * 2100


@pytest.mark.parametrize("task", [kubernetes, torchrun])
def test_other_schedulers_run_the_same_commands(run, task):
    assert [task(run, index) for index in PARTS] == [slurm(run, index) for index in PARTS]


@pytest.mark.parametrize("task", [slurm, kubernetes, torchrun])
@pytest.mark.parametrize(("code", "ends"), [(0, 0), (3, 0), (2, 2), (1, 1)])
def test_a_task_fails_where_its_part_does_not_finish(run, task, code, ends):
    assert task(run, 0, code)[0] == ends


def test_the_numbers_of_tasks_agree():
    script = (FOLDER / "slurm-array.sh").read_text()
    first, last = map(int, re.search(r"--array=(\d+)-(\d+)", script).groups())
    assert (first, str(last + 1)) == (0, re.search(r"^PARTS=(\d+)$", script, re.MULTILINE)[1])
    spec, _, values = container("kubernetes-indexed-job.yaml")
    assert (spec["completionMode"], str(spec["completions"])) == ("Indexed", values["PARTS"])


def test_the_commands_for_ray_are_whole(run):
    job = yaml.safe_load((FOLDER / "kuberay-rayjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    inner = shlex.split(job["spec"]["entrypoint"])[2].replace("cd /data && ", "")
    _, (by_kuberay,) = run(["sh", "-c", inner])
    _, (submitted,) = run(["sh", str(FOLDER / "ray-job.sh")])
    by_job = submitted[submitted.index("--") + 1 :]
    assert submitted[:2] == ["job", "submit"]
    assert by_job[0] == "unshaken"
    for arguments in (by_kuberay, by_job[1:]):
        assert "--resume" in arguments
        assert read_engine(arguments[arguments.index("--engine") + 1]).kind == "ray"
    need = read_engine(by_kuberay[-1]).cpus
    workers = job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]
    assert int(workers["resources"]["limits"]["cpu"]) % need == 0


def test_the_page_shows_every_file():
    shown = set(re.findall(r"literalinclude\} clusters/(\S+)", (DOCS / "clusters.md").read_text()))
    assert shown == {path.name for path in FOLDER.iterdir()}


@pytest.mark.long
def test_torchrun_starts_both_parts(run, tmp_path):
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--no-python"]
    ended, calls = run([*launch, str(FOLDER / "torchrun-part.sh")])
    assert ended == 0
    assert sorted(call[call.index("--part") + 1] for call in calls) == ["1/2", "2/2"]
