"""A scikit-learn model in MLflow's registry and behind MLflow's own server, audited through a line that breaks.

    python benchmarks/mlflow_server.py --mlflow ENVIRONMENT/bin/python

`ENVIRONMENT` holds `mlflow` itself (`pip install mlflow`), which its servers need; unshaken's own environment has the
client alone (`unshaken[tracking]`) and scikit-learn.

A logistic regression learns on one half of the embedded images, is registered as `clothes`, version 1, with the alias
`best`, and served. Then, on images of the other half, under corruptions and Square (20 queries):

1. the model is loaded as `mlflow:models:/clothes/1` and `mlflow:models:/clothes@best`, and audited in this process;
2. it is audited behind the address, through a relay that cuts every seventh connection and answers every eleventh
   request with 503; the command is killed (SIGKILL) after 150 images, MLflow's server is stopped and started anew, and
   the command is given again with `--resume`.

Printed are the images that were answered, how many of them a second time, the requests that failed, and the rows in
which the two audits differ. What may be asked a second time are the images of the request that was under way when the
command was killed, and nothing else.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from _peers import first_images, machine
from typing_extensions import override

import unshaken
from unshaken.models import load_model
from unshaken.store.run_dir import RunDir

NAME = "clothes"
PLAN = [
    {"method": "gaussian_noise", "severities": [1, 3, 5]},
    {"method": "contrast", "severities": [3]},
    {"method": "square", "params": {"queries": 20}, "norm": "linf", "eps": [0.05]},
]
REGISTER = """
import sys
import mlflow, numpy as np
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
images, labels = np.load(sys.argv[1]), np.load(sys.argv[2])
model = make_pipeline(FunctionTransformer(np.reshape, kw_args={"shape": (-1, 784)}), LogisticRegression(max_iter=300))
model.fit(images, labels)
with mlflow.start_run():
    mlflow.sklearn.log_model(model, name="model", registered_model_name=sys.argv[3], pyfunc_predict_fn="predict_proba",
        signature=infer_signature(images[:2], model.predict_proba(images[:2])), serialization_format="cloudpickle")
mlflow.MlflowClient().set_registered_model_alias(sys.argv[3], "best", 1)
np.save(sys.argv[4], model.predict_proba(images[:50]))
"""


def free_port() -> int:
    """A port that nothing listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def serving(words: list[str], port: int, health: str, folder: Path) -> Iterator[None]:
    """A server in a process group of its own, from its first healthy answer to the end of the block."""
    with (folder / "servers.txt").open("a") as printed:
        server = subprocess.Popen(
            [*words, "--host", "127.0.0.1", "--port", str(port)], stdout=printed, stderr=printed, start_new_session=True
        )
        try:
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}{health}", timeout=5).read()
                    break
                except OSError:
                    time.sleep(0.2)
            else:
                raise SystemExit(f"no answer of {words}:\n{(folder / 'servers.txt').read_text()[-3000:]}")
            yield
        finally:
            os.killpg(server.pid, 9)
            server.wait()


class Relay(ThreadingHTTPServer):
    """Stands before the server, breaks some of the requests, and notes which images were answered.

    Args:
        behind: the server's port.
    """

    daemon_threads = True

    def __init__(self, behind: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behind = behind
        self.requests: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.last: list[str] = []
        self.lock = threading.Lock()

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no error of the relay."""


class Handler(BaseHTTPRequestHandler):
    """Passes one request on, or breaks it by its number."""

    server: Relay

    def do_POST(self) -> None:
        """Cut it, answer it with 503, or ask the server."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        images = [hashlib.sha256(json.dumps(image).encode()).hexdigest() for image in json.loads(body)["inputs"]]
        with self.server.lock:
            self.server.requests["all"] += 1
            number = self.server.requests["all"]
        if number % 7 == 0:
            self.server.requests["cut"] += 1
            self.connection.close()
            return
        status, answer = 503, b"{}"
        if number % 11:
            address = f"http://127.0.0.1:{self.server.behind}/invocations"
            request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
            try:
                status, answer = 200, urllib.request.urlopen(request, timeout=60).read()
            except OSError:
                self.server.requests["server down"] += 1
        else:
            self.server.requests["503"] += 1
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        if status == 200:
            with self.server.lock:
                self.server.answered.update(images)
                self.server.last = images

    @override
    def log_message(self, *_: Any) -> None:
        """Nothing is printed for a request."""


def compared(one: RunDir, other: RunDir) -> tuple[int, int]:
    """Rows of two runs, and how many of them differ in the class, or by more than 0.0001 in its confidence."""
    columns = ["condition", "id", "prediction", "confidence"]
    left, right = (
        {(r["condition"], r["id"]): r for r in run.rows("outcomes", columns).to_pylist()} for run in (one, other)
    )
    assert left.keys() == right.keys()
    differ = sum(
        row["prediction"] != right[key]["prediction"] or abs(row["confidence"] - right[key]["confidence"]) > 1e-4
        for key, row in left.items()
    )
    return len(left), differ


def main() -> None:
    """Read the command line and work in a folder that is gone afterwards."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mlflow", required=True, help="the Python of an environment with mlflow")
    parser.add_argument("--limit", type=int, default=60, help="images of the audits")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        work(given.mlflow, given.limit, Path(place))


def work(python: str, limit: int, folder: Path) -> None:
    """Register, load, serve, break and compare; see the text of this file."""
    registry, port = free_port(), free_port()
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    os.environ["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{registry}"
    os.environ["UNSHAKEN_CACHE"] = str(folder / "cache")
    images, labels = first_images(500, "demo?split=first")
    for name, values in (("images", images), ("labels", labels)):
        np.save(folder / f"{name}.npy", values.numpy())
    store = [
        "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    with serving([python, "-m", "mlflow", "server", *store, "--workers", "1"], registry, "/health", folder):
        files = [str(folder / f"{name}.npy") for name in ("images", "labels")]
        subprocess.run([python, "-c", REGISTER, *files, NAME, str(folder / "expected.npy")], check=True)
        expected = np.load(folder / "expected.npy")
        for spec in (f"mlflow:models:/{NAME}/1", f"mlflow:models:/{NAME}@best"):
            model = load_model(f"{spec}?output=probabilities", download=True)
            found = model(images[:50]).softmax(1).numpy()
            print(f"{spec}: probabilities differ by {np.abs(found - expected).max():.1e} at most from scikit-learn's")
        options: dict[str, Any] = {"limit": limit, "plan": PLAN, "device": "cpu"}
        data = "demo?split=second"
        here = unshaken.audit(model, data, out=folder / "here", **options)
        words = [
            python, "-m", "mlflow", "models", "serve", "-m", f"models:/{NAME}/1", "--env-manager", "local",
            "--workers", "1",
        ]  # fmt: skip
        relay = Relay(port)
        threading.Thread(target=relay.serve_forever, daemon=True).start()
        (folder / "plan.yaml").write_text(json.dumps(PLAN))
        spec = f"http://127.0.0.1:{relay.server_port}/invocations?output=probabilities&batch=8"
        audit = [
            str(Path(sys.executable).with_name("unshaken")), "audit", "--model", spec, "--data", data,
            "--limit", str(limit), "--plan", str(folder / "plan.yaml"), "--out", str(folder / "there"),
            "--batch-size", "20", "--device", "cpu",
        ]  # fmt: skip
        with serving(words, port, "/ping", folder), (folder / "first.txt").open("w") as printed:
            child = subprocess.Popen(audit, stdout=printed, stderr=printed)
            while relay.answered.total() < 150 and child.poll() is None:
                time.sleep(0.002)
            child.kill()
            code = child.wait()
            time.sleep(2)  # a request under way is answered meanwhile
            under_way = set(relay.last)
            print(f"killed after {relay.answered.total()} answered images (exit code {code})")
        with serving(words, port, "/ping", folder):
            subprocess.run([*audit, "--resume"], check=True, stdout=subprocess.DEVNULL)
        again = {image for image, times in relay.answered.items() if times > 1}
        print(
            f"images answered: {relay.answered.total()}, of them a second time: {len(again & under_way)} of the "
            f"request that was under way when the command was killed, {len(again - under_way)} others"
        )
        print("requests: " + ", ".join(f"{count} {what}" for what, count in relay.requests.items()))
        rows, differ = compared(here.run, RunDir(folder / "there"))
        print(f"rows: {rows}; {differ} differ from those of the model in this process")
    print(machine())


if __name__ == "__main__":
    main()
