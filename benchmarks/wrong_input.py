"""Is whatever is wrong told in one line, soon and in little memory? Generated invocations and damaged files, seeded.

Measured: `--invocations` wrong command lines (an option of a right one is replaced by a wrong value) and `--files`
damaged or hostile files (bytes changed, cut, or replaced by a pipe, a device, a bomb, odd JSON), each in a process of its own,
forked from one that has imported everything. Wrong invocations must end with exit code 2 and one line; damaged files
may also be harmless (0, 1) or cost samples (3). Nothing may end in "this is a bug", by a signal, after more than
`--seconds` of computing, or with more than `--megabytes`. What is not so is printed; then the exit code is 1.

    python benchmarks/wrong_input.py --invocations 1000 --files 500
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import random
import signal
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from unshaken.cli import main as command_line

NET = """
from torch import nn

def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 2)).eval()
"""

COUNTS = (
    "-1",
    "1_0",
    "٣",
    "nan",
    "inf",
    "1e3",
    " 5",
    "5 ",
    "",
    "9" * 25,
    "9" * 5000,
    "0x10",
    "1.5",
    "True",
    "1:30",
    "５",
)
NUMBERS = (
    "nan",
    "inf",
    "-inf",
    "1e999",
    "1/0",
    "٨/٢٥٥",
    "8//255",
    "much",
    "",
    "1_0",
    "0x1p3",
    "1e",
    "--",
    "1,5",
    "8/",
    "½",
)
PLACES = (
    *("", " ", "\n", "\x1b[2J", "reference://x", "data:,x", "dbfs://x", "simplecache::x", "file://rel/x", "memory://x"),
    *(
        "~nosuchuser/x",
        "http://127.0.0.1:1/x",
        "zip://x",
        "a\x00b",
        "x" * 5000,
        "nosuch://x",
        "::",
        "/proc/x",
        "net.py/x",
    ),
)
BASES: dict[str, list[str]] = {
    "audit": ["audit", "--model", "py:net.py:build", "--data", "folder:photos", "--plan", "fog.yaml", "--out", "new"],
    "attack": ["attack", "--model", "py:net.py:build", "--data", "folder:photos", "--out", "new"],
    "certify": ["certify", "--model", "py:net.py:build", "--data", "folder:photos", "--out", "new", "--not-attacked"],
    "fit": [
        "detect",
        "fit",
        "--model",
        "py:net.py:build",
        "--data",
        "folder:photos",
        "--out",
        "new",
        "--method",
        "msp",
    ],
    "score": ["detect", "score", "--model", "py:net.py:build", "--data", "folder:photos", "--detectors", "doors"],
    "harden": ["harden", "--model", "small", "--data", "folder:photos", "--epochs", "1", "--out", "new"],
}
"""Command lines that are right."""


@dataclass(frozen=True)
class Ended:
    """How a call ended: exit code (minus a signal), stderr, seconds of computing, and megabytes at the most."""

    code: int
    said: str
    seconds: float
    megabytes: float

    def fault(self, right: Sequence[int], seconds: float, megabytes: float) -> str:
        """What is wrong with it; nothing where all is well."""
        lines = self.said.strip().splitlines()
        if self.code < 0:
            return f"signal {-self.code}"
        if "this is a bug" in self.said or "Traceback" in self.said:
            return "bug"
        if self.code not in right:
            return f"exit code {self.code}"
        if self.code == 2 and (len(lines) != 1 or not lines[0].startswith("unshaken: ")):
            return f"{len(lines)} lines"
        if not all(line.isprintable() for line in lines):
            return "steers the terminal"
        return "slow" if self.seconds > seconds else "memory" if self.megabytes > megabytes else ""


def call(arguments: Sequence[str], timeout: int = 60) -> Ended:
    """A command line in a process of its own."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        signal.alarm(timeout)
        out, err = io.StringIO(), io.StringIO()
        code = 1
        try:
            with redirect_stdout(out), redirect_stderr(err):
                code = command_line(list(arguments))
        except BaseException as error:
            err.write(f"Traceback {error!r}")
        with open(write, "wb") as pipe:
            pipe.write(err.getvalue().encode("utf-8", "replace")[:60_000])
        os._exit(code)
    os.close(write)
    with open(read, "rb") as pipe:
        said = pipe.read().decode()
    _, status, usage = os.wait4(child, 0)
    spent = usage.ru_utime + usage.ru_stime
    return Ended(os.waitstatus_to_exitcode(status), said, spent, usage.ru_maxrss / 1024)


def write_world(folder: Path) -> None:
    """A net, images in all forms, a finished run and fitted detectors."""
    (folder / "net.py").write_text(NET)
    (folder / "fog.yaml").write_text("- {method: fog, severities: [1]}\n- {method: fgsm, eps: [0.1]}\n")
    images, generator = [], np.random.default_rng(0)
    for number in range(24):
        pixels = generator.integers(0, 256, (8, 8, 3), np.uint8)
        place = folder / "photos" / ("dark", "light")[number % 2] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place)
        images.append(place.read_bytes())
    pq.write_table(pa.table({"image": images, "label": [n % 2 for n in range(24)]}), folder / "a.parquet")
    with tarfile.open(folder / "a.tar", "w") as tar:
        for number, data in enumerate(images):
            for name, content in ((f"{number}.png", data), (f"{number}.cls", b"1")):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    (folder / "idx").mkdir()
    header = bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in (24, 8, 8))
    (folder / "idx/t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + bytes(24 * 64)))
    assert call([*BASES["audit"][:-1], "done"]).code == 0
    assert call([*BASES["fit"], "--out", "doors"]).code == 0
    assert call([*BASES["harden"][:-1], "net"]).code == 0


def typo(name: str, dice: random.Random) -> str:
    """A name that no method has."""
    place = dice.randrange(len(name))
    made = (
        name[:place] + name[place + 1 :],
        name + " ",
        name.upper(),
        name + "é",
        name[:place] + "\x1b" + name[place:],
    )
    return dice.choice([m for m in made if m and m != name])


def wrong_call(dice: random.Random) -> list[str]:
    """A command line with one thing wrong."""
    verb = dice.choice(list(BASES))
    base = list(BASES[verb])
    runs = verb in ("audit", "attack", "certify", "score")
    made: list[Callable[[], list[str]]] = [
        lambda: [*base, "--limit", dice.choice((*COUNTS, "0"))],
        lambda: [*base, "--seed", dice.choice(COUNTS)],
        lambda: [*base, "--workers", dice.choice((*COUNTS, "0", "1000000"))],
        lambda: [*base, "--device", dice.choice(("cpu:99", "cpu:0:0", "tpu", "", "cuda:-1", "CPU ", "cpu,cuda", "٣"))],
        lambda: [*base, f"--{typo('limit', dice).strip()}x", "3"],
        lambda: [*base, "--out", dice.choice(PLACES)],
        lambda: [*base, "--data", wrong_data(dice)],
        lambda: [*base, "--model", wrong_model(dice)],
        lambda: [*base, "surplus"],
    ]
    if runs:
        made += [
            lambda: [*base, "--batch-size", dice.choice((*COUNTS, "0"))],
            lambda: [*base, "--save-examples", dice.choice((*COUNTS, "some"))],
            lambda: [*base, "--eot", dice.choice((*COUNTS, "0"))],
            lambda: [*base, "--precision", dice.choice(("fp8", "", "FP32", "fp32 "))],
            lambda: [*base, "--engine", dice.choice(("slurm", "", "local "))],
            lambda: [*base, "--gate", dice.choice(("", "x", "clean.accuracy >= 1_0", "clean >= 0", "a[b=]>1"))],
            lambda: [*base, "--allow-code", dice.choice(("demo", "", "py", "net.py"))],
        ]
    if verb == "attack":
        name = dice.choice(("pgd", "fgsm", "apgd", "square", "deepfool", "spsa"))
        made += [
            lambda: [*base, "--attack", typo(name, dice)],
            lambda: [*base, "--attack", f"pgd:steps={dice.choice((*COUNTS, '0'))}"],
            lambda: [*base, "--attack", f"pgd:step_size={dice.choice(NUMBERS)}"],
            lambda: [
                *base,
                "--attack",
                dice.choice(("pgd:steps=10,steps=20", "pgd:steps", "pgd:=3", "pgd:a=1", "pgd:")),
            ],
            lambda: [*base, "--norm", dice.choice(("l7", "", "L2 ", "linf,l2", "2"))],
            lambda: [*base, "--attack", "spatial", "--norm", "l2"],
            lambda: [*base, "--eps", dice.choice(NUMBERS)],
        ]
    if verb == "certify":
        made += [
            lambda: [*base, "--method", f"smoothing:sigma={dice.choice((*NUMBERS, '0', '-1'))}"],
            lambda: [*base, "--method", f"smoothing:n={dice.choice((*COUNTS, '0', '5'))}"],
            lambda: [*base, "--method", "smoothing:sigma=0.25,sigma=0.5"],
            lambda: [*base, "--radius", dice.choice(NUMBERS)],
        ]
    if verb == "score":
        made += [
            lambda: [
                *base,
                "--out",
                "new",
                "--shift",
                dice.choice(("", "fog", "fog-9", "frog-1", "fog-1_0", "fog--1")),
            ],
            lambda: [*base, "--out", "new", "--accept", dice.choice((*NUMBERS, "1.5", "-0.1"))],
            lambda: [*base, "--out", "new", "--against", dice.choice(("", "..=demo", "a b=demo", "far=", "=demo"))],
            lambda: [*base, "--out", "new", "--norm", dice.choice(("l7", "", "l1,l2"))],
        ]
    if verb == "harden":
        made += [
            lambda: [*base, "--lr", dice.choice((*NUMBERS, "-1", "1e9"))],
            lambda: [*base, "--set", dice.choice(("", "x", "lr=1_0", "colour=1", "=1", "schedule=none"))],
            lambda: [*base, "--set", "lr=0.1", "--set", "lr=0.2"],
            lambda: [*base, "--recipe", typo("trades", dice)],
            lambda: [*base, "--recipe", f"trades:eps={dice.choice(NUMBERS)}"],
        ]
    return dice.choice(made)()


def wrong_data(dice: random.Random) -> str:
    """A data SPEC that cannot be opened."""
    return dice.choice(
        (
            *("", "nope", "photos", "folder:absent", "folder:~nosuch", "folder:net.py", "zip:photos", "parquet:net.py"),
            *("folder:photos?size=0", "folder:photos?size=8&size=9", "folder:photos?mode=CMYK", "folder:photos?size=٨"),
            *(
                "folder:photos?split=../..",
                "wds:{9..1}.tar",
                "wds:{0..99999999999}.tar",
                "parquet:/dev/zero",
                "idx:photos",
            ),
            *(
                "folder:photos?x=1",
                "folder:photos?size",
                "folder:\x1b[2J",
                "parquet:a.parquet?split=x",
                "wds:http://x/a.tar",
            ),
        )
    )


def wrong_model(dice: random.Random) -> str:
    """A model SPEC that cannot be loaded."""
    return dice.choice(
        (
            *(
                "",
                "nope",
                "py:net.py",
                "py:net.py:biuld",
                "py:absent.py:build",
                "py:no.module:f",
                "demo:strong",
                "run:photos",
            ),
            *("py:net.py:build?mean=nan&std=1", "py:net.py:build?mean=0.5", "py:net.py:build?std=0&mean=0"),
            *("py:net.py:build?classes=99999999999", "py:net.py:build?size=8&size=9", "py:net.py:build?size=٨"),
            *("onnx:net.py", "weights:net.py?arch=resnet18", "weights:/dev/zero?arch=small", "torchvision:resnet999"),
            *(
                "demo?defence=mixture",
                "demo?defence=nope",
                "demo?defence=pgd",
                "py:net.py:build?size=1x",
                "demo?size=9999999",
            ),
        )
    )


READERS: dict[str, list[list[str]]] = {
    "photos/dark/0.png": [BASES["audit"]],
    "a.parquet": [[*BASES["audit"][:4], "parquet:a.parquet", *BASES["audit"][5:]]],
    "a.tar": [[*BASES["audit"][:4], "wds:a.tar", *BASES["audit"][5:]]],
    "idx/t10k-images-idx3-ubyte.gz": [["detect", "mark", "--data", "idx:idx", "--out", "new"]],
    "fog.yaml": [BASES["audit"]],
    "done/run.json": [
        ["report", "done"],
        ["query", "done", "select 1"],
        ["compare", "done", "done"],
        ["harden", "--from", "done"],
    ],
    "done/summary.json": [["harden", "--from", "done", "--data", "folder:photos", "--dry-run"]],
    "done/rows/outcomes/fog-1-00000.parquet": [["report", "done"], ["query", "done", "select * from outcomes"]],
    "done/rows/outcomes/clean-00000.parquet": [["report", "done"], [*BASES["audit"][:-1], "done", "--resume"]],
    "doors/detectors.json": [
        [*BASES["score"], "--out", "new", "--not-attacked"],
        ["detect", "threshold", "--detectors", "doors"],
    ],
    "doors/banks.safetensors": [[*BASES["score"], "--out", "new", "--not-attacked"]],
    "net/model.json": [["audit", "--model", "run:net", *BASES["audit"][3:]]],
    "net/model.safetensors": [["audit", "--model", "run:net", *BASES["audit"][3:]]],
    "net/harden.json": [["report", "net"], [*BASES["harden"][:-1], "net", "--resume"]],
}
"""Files, and the command lines that read them."""
LEAVES = (
    None,
    True,
    -1,
    10**30,
    0.5,
    "",
    "x" * 10_000,
    "\x1b[2J",
    "../../x",
    [],
    {},
    [[]],
    "py:evil.py:f",
    " py:evil.py:f",
)


def damage(path: Path, dice: random.Random) -> str:
    """Damage a file; how it was done."""
    data = path.read_bytes()
    kinds = ["flip", "flip", "flip", "cut", "insert", "zeros", "empty", "html", "pipe", "device", "folder", "random"]
    kinds += ["deep", "leaf", "leaf", "leaf", "twice"] if path.suffix == ".json" else []
    kinds += ["eps", "bomb"] if path.suffix == ".png" else []
    kind = dice.choice(kinds)
    place = dice.randrange(len(data))
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind in ("leaf", "twice"):
        path.write_text(
            odd_json(json.loads(data), dice) if kind == "leaf" else data.decode().replace("{", '{"a":1,"a":2,', 1)
        )
    else:
        some = bytes(dice.randrange(256) for _ in range(dice.choice((1, 1, 4, 64))))
        path.write_bytes(
            {
                "flip": data[:place] + some + data[place + len(some) :],
                "cut": data[:place],
                "insert": data[:place] + some + data[place:],
                "zeros": data[:place] + bytes(len(data) - place),
                "empty": b"",
                "html": b"<!DOCTYPE html><html>404</html>",
                "random": dice.randbytes(len(data)),
                "deep": b"[" * 100_000,
                "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n",
                "bomb": data[:16] + (60_000).to_bytes(4, "big") * 2 + data[24:],
            }[kind]
        )
    return kind


def odd_json(value: object, dice: random.Random) -> str:
    """The JSON with another value in one place."""
    holder, places = value, []
    while isinstance(holder, dict | list) and holder:
        key = dice.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        places.append((holder, key))
        holder = holder[key]  # type: ignore[index]
    target, key = dice.choice(places)
    target[key] = dice.choice(LEAVES)  # type: ignore[index]
    return json.dumps(value)


def main() -> int:
    """Print what is not told as it should be, and a count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in (("invocations", 1000), ("files", 500), ("seed", 0), ("megabytes", 1000)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--seconds", type=float, default=2.0)
    chosen = parser.parse_args()
    return run(chosen.invocations, chosen.files, chosen.seed, chosen.seconds, chosen.megabytes)


def run(invocations: int, files: int, seed: int, seconds: float, megabytes: float) -> int:
    """As `main`, with numbers."""
    import shutil

    import torch

    import unshaken.api
    import unshaken.detect  # noqa: F401
    from unshaken.core.registry import list_methods
    from unshaken.models.loaders.kinds import list_kinds

    torch.set_num_threads(1)
    list_methods()
    list_kinds()
    dice, folder, before = random.Random(seed), Path(tempfile.mkdtemp(prefix="unshaken-wrong-")), Path.cwd()
    good, work = folder / "good", folder / "work"
    good.mkdir()
    faults: Counter[str] = Counter()
    worst = [0.0, 0.0]

    def tried(what: str, arguments: list[str], right: Sequence[int]) -> None:
        ended = call([*arguments, "--quiet"] if arguments[0] in ("audit", "attack", "certify", "harden") else arguments)
        worst[:] = max(worst[0], ended.seconds), max(worst[1], ended.megabytes)
        fault = ended.fault(right, seconds, megabytes)
        faults[fault or "told"] += 1
        if fault:
            print(
                f"{what}: {fault} ({ended.seconds:.1f} s, {ended.megabytes:.0f} MB): {arguments} {ended.said[:300]!r}",
                flush=True,
            )

    try:
        os.chdir(good)
        write_world(good)
        for number in range(invocations):
            tried(f"invocation {number}", wrong_call(dice), (2,))
            shutil.rmtree(good / "new", ignore_errors=True)
        for number in range(files):
            os.chdir(folder)
            shutil.rmtree(work, ignore_errors=True)
            shutil.copytree(good, work)
            os.chdir(work)
            name = dice.choice(list(READERS))
            how = damage(work / name, dice)
            tried(f"file {number}, {name}, {how}", dice.choice(READERS[name]), (0, 1, 2, 3))
    finally:
        os.chdir(before)
        shutil.rmtree(folder)
    bad = sum(n for fault, n in faults.items() if fault != "told")
    print(f"{invocations} invocations and {files} files: {bad} not as they should be {dict(faults)}")
    print(f"slowest {worst[0]:.1f} s, largest {worst[1]:.0f} MB")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
