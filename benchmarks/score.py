"""Throughput, latency and overload of the score endpoint, beside LitServe and BentoML, on the same net.

    python benchmarks/score.py --peer-python PEERS/bin/python --peer litserve --peer bentoml

A torchvision network with random weights answers JPEGs of its own size, one a request. Measured are

1. images a second of the model's own batched passes, in this process, at the batch size of the endpoint;
2. of the endpoint, `--clients` clients that each wait for their answer; and its share of the former;
3. median and 99th percentile of the latency at half of that rate, requests coming at random moments (Poisson);
4. at four times the rate: answers a second, the share of 429, the 99th percentile of those answered; the rate after;
5. the statuses of malformed requests, and whether the server answers afterwards.

Servers run in processes of their own with one thread of torch each, one after the other; the load comes from this
process. Peers are run by another Python, given by `--peer-python`, whose environment has them; one that is absent
stands in the table so. Each decodes, batches and answers with class and probabilities.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import importlib.metadata
import io
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from _score_load import at_rate, closed, malformed, one_by_one, request
from PIL import Image

from unshaken.core.batch import usual_batch
from unshaken.core.device import keep_freed_memory
from unshaken.models import load_model

HERE = Path(__file__).parent
NET = """
import torch, torchvision
def make():
    torch.manual_seed(0)
    return torchvision.models.{arch}(weights=None, num_classes=100).eval()
"""
PATHS = {"unshaken": "/v1/score", "litserve": "/predict", "bentoml": "/predict"}


def pictures(n: int, side: int) -> list[bytes]:
    """JPEGs of smooth noise, which are as large as those of photos."""
    draw, found = np.random.default_rng(0), []
    for _ in range(n):
        small = Image.fromarray(draw.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8))
        file = io.BytesIO()
        small.resize((side, side), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
        found.append(file.getvalue())
    return found


def own_passes(spec: str, side: int, batch: int, seconds: float) -> tuple[float, float]:
    """Images a second of the model's own passes, the median of five rounds, and processor milliseconds an image."""
    keep_freed_memory()  # as the endpoint does: it is faster, so that the share is not flattered
    model, images, rates, images_done = load_model(spec), torch.rand(batch, 3, side, side), [], 0
    with torch.inference_mode():
        model(images)
        processor = time.process_time()
        for _ in range(5):
            began, done = time.perf_counter(), 0
            while time.perf_counter() < began + seconds / 5:
                model(images)
                done += batch
            rates.append(done / (time.perf_counter() - began))
            images_done += done
    return statistics.median(rates), 1000 * (time.process_time() - processor) / images_done


def processor_seconds(process: int) -> float:
    """Processor time of a process and all that it started (Linux); 0 elsewhere."""
    parents, ticks = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        number = int(stat.parent.name)
        parents[number], ticks[number] = int(fields[1]), int(fields[11]) + int(fields[12])
    found, grown = {process}, True
    while grown:
        more = {child for child, parent in parents.items() if parent in found} - found
        found, grown = found | more, bool(more)
    return sum(ticks.get(number, 0) for number in found) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A port that nothing listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def server(command: list[str], port: int, good: bytes) -> Iterator[int | None]:
    """Run a server, and give its process; None where it does not answer within two minutes."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            until, ready = time.monotonic() + 120, False
            while time.monotonic() < until and process.poll() is None and not ready:
                ready = asyncio.run(one_by_one(port, [good]))[200] == 1
                time.sleep(0.2)
            if not ready:
                log.seek(0)
                print(log.read()[-2000:].decode(errors="replace"), file=sys.stderr)
            yield process.pid if ready else None
        finally:
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a server and all that it started."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(20)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def envelope(name: str, data: bytes) -> tuple[bytes, str]:
    """A JPEG as each server takes it: the body and its content type."""
    if name == "litserve":
        return json.dumps({"image": base64.b64encode(data).decode()}).encode(), "application/json"
    if name == "bentoml":
        head = 'content-disposition: form-data; name="images"; filename="a.jpg"\r\ncontent-type: image/jpeg'
        return f"--x\r\n{head}\r\n\r\n".encode() + data + b"\r\n--x--\r\n", "multipart/form-data; boundary=x"
    return data, "image/jpeg"


def measure(name: str, port: int, process: int, files: list[bytes], args: argparse.Namespace) -> list[str]:
    """A row of the table: of one server that runs."""
    path = PATHS[name]
    bodies = [envelope(name, data) for data in files]
    requests = [request(*body, path) for body in bodies]
    asyncio.run(closed(port, requests, clients=args.clients, seconds=args.seconds / 4))  # warm-up
    before = processor_seconds(process)
    full = asyncio.run(closed(port, requests, clients=args.clients, seconds=args.seconds))
    milliseconds = 1000 * (processor_seconds(process) - before) / max(1, full.statuses[200])
    half = asyncio.run(at_rate(port, requests, rate=full.per_second / 2, seconds=args.seconds))
    over = asyncio.run(at_rate(port, requests, rate=4 * full.per_second, seconds=args.overload))
    after = asyncio.run(closed(port, requests, clients=args.clients, seconds=args.seconds / 2))
    wrong = asyncio.run(one_by_one(port, malformed(args.malformed, *bodies[0], path)))
    alive = asyncio.run(one_by_one(port, requests[:1]))[200] == 1
    refused, sent = over.statuses[429] + over.statuses[503], sum(over.statuses.values())
    servers_fault = sum(n for status, n in wrong.items() if status >= 500 or status == 0)
    return [
        name,
        f"{full.per_second:.1f}",
        f"{full.per_second / args.own:.2f}",
        f"{milliseconds:.2f}",
        f"{half.quantile(0.5):.0f} / {half.quantile(0.99):.0f}",
        f"{over.per_second:.1f}",
        f"{100 * refused / sent:.0f} %",
        f"{100 * (sent - refused - over.statuses[200]) / sent:.0f} %",
        f"{over.quantile(0.99):.0f}",
        f"{after.per_second:.1f}",
        f"{servers_fault} of {args.malformed}",
        "yes" if alive else "NO",
    ]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="resnet18", help="network of torchvision")
    parser.add_argument("--side", type=int, default=224, help="pixels of an image's side")
    parser.add_argument("--clients", type=int, help="that each wait for their answer; default two batches")
    parser.add_argument("--seconds", type=float, default=20, help="of each load but the overload")
    parser.add_argument("--overload", type=float, default=120, help="seconds at four times the rate")
    parser.add_argument("--malformed", type=int, default=1000, help="malformed requests")
    parser.add_argument("--batch", type=int, help="images of a batch; default that of the endpoint")
    parser.add_argument("--peer", action="append", default=[], choices=["litserve", "bentoml"])
    parser.add_argument("--peer-python", default=sys.executable, help="Python whose environment has the peers")
    args = parser.parse_args()
    torch.set_num_threads(1)
    batch = args.batch or usual_batch(3 * args.side**2, "cpu")
    args.clients = args.clients or 2 * batch
    files = pictures(64, args.side)
    with tempfile.TemporaryDirectory() as folder:
        net = Path(folder) / "net.py"
        net.write_text(NET.format(arch=args.arch))
        spec = f"py:{net}:make?size={args.side}"
        args.own, milliseconds = own_passes(spec, args.side, batch, args.seconds / 2)
        rows = []
        for name in ["unshaken", *args.peer]:
            port = free_port()
            ours = [sys.executable, "-m", "unshaken", "serve", folder, "--score", spec, "--port", str(port),
                    "--db", f"{folder}/serve.db", "--max-batch", str(batch),
                    "--queue", str(args.clients + batch)]  # fmt: skip
            theirs = [args.peer_python, str(HERE / "_score_peers.py"), name, str(net), str(port), str(batch),
                      str(args.side)]  # fmt: skip
            good = request(*envelope(name, files[0]), PATHS[name])
            with server(ours if name == "unshaken" else theirs, port, good) as process:
                rows.append(measure(name, port, process, files, args) if process else [name, "absent", *[""] * 10])
    print(
        f"{args.arch}, {args.side} px, batches of {batch}: {args.own:.1f} images/s by the model's own passes, "
        f"{milliseconds:.2f} ms of a processor an image.\n"
    )
    heads = ("server", "images/s", "of own passes", "processor ms/image", "ms at half load, p50 / p99")
    heads += ("at 4x: answers/s", "refused", "failed", "p99 ms", "images/s after", "malformed: 5xx or broken", "alive")
    print(f"| {' | '.join(heads)} |")
    print("|" + "---|" * 12)
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print(
        f"\n{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"torch {torch.__version__}, uvicorn {importlib.metadata.version('uvicorn')}, {time.strftime('%Y-%m-%d')}"
    )


if __name__ == "__main__":
    main()
