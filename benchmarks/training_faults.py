"""Are weights changed when a training is killed (signal 9) and resumed?

    python benchmarks/training_faults.py --kills 10

One training runs straight through. Another, of the same recipes, is killed at a random moment after its state has moved
on, and resumed, `--kills` times; then it runs to its end. Compared are all tensors of `last.safetensors` and
`model.safetensors`, bit by bit, and the curves but for seconds.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file


def start(out: Path, options: argparse.Namespace, *more: str) -> subprocess.Popen[bytes]:
    """The training under way."""
    command = [sys.executable, "-m", "unshaken", "harden", "--model", "small", "--data", "demo", "--quiet"]
    for recipe in options.recipes.split("+"):
        command += ["--method", recipe]
    command += [
        "--epochs",
        str(options.epochs),
        "--batch-size",
        "32",
        "--set",
        "save_every=1",
        "--set",
        "check_images=64",
    ]
    return subprocess.Popen([*command, "--out", str(out), *more])


def differing(one: Path, two: Path) -> list[str]:
    """Tensors and curves that are not equal."""
    found = []
    for file in ("last.safetensors", "model.safetensors"):
        first, second = load_file(one / file), load_file(two / file)
        found += [f"{file}: {k}" for k in first if not torch.equal(first[k], second[k])]
    rows = [pq.read_table(place / "curves.parquet").drop_columns(["seconds"]).to_pylist() for place in (one, two)]
    return found + ([] if rows[0] == rows[1] else ["curves.parquet"])


def main() -> None:
    """Run both and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--recipes", default="trades:eps=0.1,steps=3+awp:gamma=0.005+ema")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        straight, broken = Path(folder) / "straight", Path(folder) / "broken"
        assert start(straight, options).wait() == 0
        state, kills = broken / "state" / "checkpoint.safetensors", 0
        while kills < options.kills:
            seen = state.stat().st_mtime_ns if state.exists() else 0
            process = start(broken, options, *(["--resume"] if kills else []))
            while process.poll() is None and (not state.exists() or state.stat().st_mtime_ns == seen):
                time.sleep(0.005)
            time.sleep(draw.uniform(0, 0.5))
            if process.poll() is not None:
                print(f"ended before kill {kills + 1}: give more --epochs")
                break
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
        assert start(broken, options, "--resume").wait() == 0
        unequal = differing(straight, broken)
    print(f"{kills} kills: {'all weights and curves equal' if not unequal else 'unequal: ' + ', '.join(unequal)}")


if __name__ == "__main__":
    main()
