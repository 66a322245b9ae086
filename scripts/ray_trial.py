"""A run on a Ray cluster of processes on this machine, one node of which is killed and another added in the middle.

    python scripts/ray_trial.py --images 3000 --pause 0.1

A head without workers and two nodes of one processor each are started. `unshaken audit --engine ray` begins; after the
first rows the raylet and workers of a node are killed by signal 9, after further ones a third node joins. Its rows must
equal those of `--engine local`, floats within 1e-5. The model pauses in each pass, so that the run lasts long enough.
`--worker` kills one process of a worker instead of a node. Exit 1 if rows differ or a command fails.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from equal_rows import differences, table_of

MODEL = """
import time, torch
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, 4))
    def forward(self, x):
        time.sleep(PAUSE)
        return self.net(x)
def build():
    return Net()
"""
DATA = """
import torch
from unshaken.data.arrays import InMemory
def build():
    drawn = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (COUNT, 3, 16, 16), generator=drawn, dtype=torch.uint8)
    return InMemory(images, torch.randint(0, 4, (COUNT,), generator=drawn))
"""
PLAN = """
- {method: gaussian_noise, severities: [1, 3]}
- {method: pgd, params: {steps: 3}, eps: [8/255]}
"""


def start(folder: Path, engine: str, out: Path, address: str = "") -> subprocess.Popen[bytes]:
    """An audit as a process of its own, whose output stands in a file beside `out`."""
    command = [
        *(sys.executable, "-m", "unshaken", "audit", "--quiet", "--device", "cpu", "--batch-size", "256"),
        *("--model", "py:net.py:build", "--data", "py:data.py:build", "--plan", "plan.yaml"),
        *("--engine", engine, "--out", str(out)),
    ]  # fmt: skip
    environment = {**os.environ, "RAY_ADDRESS": address} if address else os.environ
    with out.with_suffix(".txt").open("wb") as printed:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=printed, stderr=subprocess.STDOUT)


def wait_for_rows(out: Path, files: int, run: subprocess.Popen[bytes]) -> int:
    """Wait until a run has so many files of rows, or has ended; the number that it has."""
    while (found := len(list(out.glob("rows/outcomes/*.parquet")))) < files and run.poll() is None:
        time.sleep(0.1)
    return found


def worker_processes(place: str) -> list[int]:
    """The processes of this trial's workers: by their title, and by the folder in which their stderr is kept."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            title, log = (process / "cmdline").read_bytes(), os.readlink(process / "fd" / "2")
        except OSError:
            continue
        if title.startswith(b"ray::RayWorker") and log.startswith(place):
            found.append(int(process.name))
    return sorted(found)


def main() -> int:
    """Make the trial, and print what happened when."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--pause", type=float, default=0.1, help="seconds of each pass of the model")
    parser.add_argument("--worker", action="store_true", help="kill a worker's process instead of a node")
    options = parser.parse_args()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "net.py").write_text(MODEL.replace("PAUSE", str(options.pause)))
        (folder / "data.py").write_text(DATA.replace("COUNT", str(options.images)))
        (folder / "plan.yaml").write_text(PLAN)
        began = time.monotonic()

        def note(what: str) -> None:
            print(f"{time.monotonic() - began:6.1f} s  {what}", flush=True)

        local = start(folder, "local", folder / "local")
        if local.wait():
            print((folder / "local.txt").read_text())
            return 1
        note("local run ended")
        # a folder of its own: Ray's usual one names the cluster that other programs of this machine would join
        cluster = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, "temp_dir": place}
        )
        try:
            nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
            note("head and two nodes started")
            out = folder / "ray"
            run = start(folder, "ray", out, cluster.address)
            note(f"run has {wait_for_rows(out, 1, run)} files of rows")
            if options.worker:
                os.kill(worker_processes(place)[0], signal.SIGKILL)
                note("worker killed")
            else:
                cluster.remove_node(nodes[0], allow_graceful=False)
                note("node killed")
            note(f"run has {wait_for_rows(out, 3, run)} files of rows")
            cluster.add_node(num_cpus=1)
            note("node added")
            code = run.wait()
            note(f"run ended with code {code}")
        finally:
            cluster.shutdown()
        print(out.with_suffix(".txt").read_text().strip())
        if code:
            return 1
        logs = sorted(path.name for path in out.glob("logs/*"))
        tables = [table_of(list((folder / name).glob("rows/outcomes/*.parquet"))) for name in ("local", "ray")]
        tables = [table.sort_by([("condition", "ascending"), ("id", "ascending")]) for table in tables]
        found = list(differences(*tables, 1e-5))
        print(json.dumps({"rows": len(tables[0]), "differences": found, "logs": logs}))
        return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
