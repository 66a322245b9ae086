"""Damaged and hostile files for `wrong_input.py`, and the small world that they stand in."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from _wrong_calls import BASES, replaced
from PIL import Image

NET = """
from torch import nn

def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 2)).eval()
"""
AUDIT, SCORE, HARDEN, EXPLAIN = (BASES[verb] for verb in ("audit", "score", "harden", "explain"))
READERS: dict[str, list[list[str]]] = {
    "photos/dark/0.png": [AUDIT],
    "a.parquet": [replaced(AUDIT, "--data", "parquet:a.parquet")],
    "a.tar": [replaced(AUDIT, "--data", "wds:a.tar")],
    "idx/t10k-images-idx3-ubyte.gz": [["detect", "mark", "--data", "idx:idx", "--out", "new"]],
    "fog.yaml": [AUDIT],
    "done/run.json": [["report", "done"], ["query", "done", "select 1"], ["compare", "done", "done"]],
    "done/summary.json": [["harden", "--from", "done", "--data", "folder:photos", "--dry-run"]],
    "done/rows/outcomes/fog-1-00000.parquet": [["report", "done"], ["query", "done", "select * from outcomes"]],
    "done/rows/outcomes/clean-00000.parquet": [["report", "done"], [*replaced(AUDIT, "--out", "done"), "--resume"]],
    "doors/detectors.json": [SCORE, ["detect", "threshold", "--detectors", "doors"]],
    "doors/banks.safetensors": [SCORE],
    "why/explain.json": [["report", "why"], [*replaced(EXPLAIN, "--out", "why"), "--resume"]],
    "why/maps/gradient-00000.safetensors": [["report", "why"], [*replaced(EXPLAIN, "--out", "why"), "--resume"]],
    "why/rows/map_metrics/gradient-deletion-00000.parquet": [["report", "why"]],
    "why/rows/attributions/gradient-00000.parquet": [[*replaced(EXPLAIN, "--out", "why"), "--resume"]],
    "net/model.json": [replaced(AUDIT, "--model", "run:net")],
    "net/model.safetensors": [replaced(AUDIT, "--model", "run:net")],
    "net/harden.json": [["report", "net"], [*replaced(HARDEN, "--out", "net"), "--resume"]],
}
"""Files, and the command lines that read them."""
LEAVES = (None, True, -1, 10**30, 0.5, "", "x" * 10_000, "\x1b[2J", "../../x", [], {}, [[]], " py:evil.py:f")


def write_world(folder: Path, call: Callable[[Sequence[str]], int]) -> None:
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
    for verb, name in (("audit", "done"), ("fit", "doors"), ("harden", "net"), ("explain", "why")):
        if call(replaced(BASES[verb], "--out", name)) != 0:
            raise SystemExit(f"the right command line does not work: {BASES[verb]}")


def damage(path: Path, dice: random.Random) -> str:
    """Damage a file; how it was done."""
    data = path.read_bytes()
    kinds = ["flip", "flip", "flip", "cut", "insert", "zeros", "empty", "html", "pipe", "device", "folder", "random"]
    kinds += ["deep", "leaf", "leaf", "leaf", "twice"] if path.suffix == ".json" else []
    kinds += ["eps", "bomb"] if path.suffix == ".png" else []
    kinds += ["contradiction", "repeated"] if path.name == "a.parquet" else []
    kind = dice.choice(kinds)
    place = dice.randrange(len(data))
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "contradiction":  # pyarrow aborts where statistics and schema contradict each other
        path.write_bytes(data.replace(b"\x25\x02\x18\x05label", b"\x25\x00\x18\x05label"))
    elif kind == "repeated":  # one value of 20 MB that every row names
        value = pa.array([dice.choice((b"x", "x")) * (20 << 20)])
        repeated = pa.DictionaryArray.from_arrays(pa.array([0] * 60, pa.int32()), value)
        columns = {"image": [b"x"] * 60, ("label" if value.type == "string" else "image"): repeated}
        pq.write_table(
            pa.table(columns), path, compression="zstd", dictionary_pagesize_limit=1 << 30, store_schema=False
        )
    elif kind in ("leaf", "twice"):
        doubled = data.decode().replace("{", '{"a":1,"a":2,', 1)
        path.write_text(odd_json(json.loads(data), dice) if kind == "leaf" else doubled)
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
