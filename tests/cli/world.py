"""The working folder in which the bad inputs are tried: good things first, then everything that is wrong with them."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

NET = '''
import torch
from torch import nn


class Brightness(nn.Module):
    """Light or dark, by the mean pixel: linear, so that every margin is known by hand."""

    def forward(self, x):
        mean = x.mean((1, 2, 3))
        return torch.stack([0.5 - mean, mean - 0.5], 1) * 20


def build():
    return Brightness().eval()
'''

ODD_NETS = """
from net import *


class Changed(Brightness):
    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, x):
        return self.change(super().forward(x))


def raises():
    raise KeyError("weights")

def number():
    return 7

def one_logit():
    return Changed(lambda y: y[:, :1]).eval()

def dictionary():
    return Changed(lambda y: {"logits": y}).eval()

def three():
    return Changed(lambda y: y[:, [0, 1, 0]]).eval()

def not_finite():
    return Changed(lambda y: y / 0).eval()

def labels():
    return Changed(lambda y: y.argmax(1)).eval()

def grey():
    return nn.Sequential(nn.Conv2d(1, 2, 8), nn.Flatten()).eval()
"""

PLANS = {
    "fog": "- {method: fog, severities: [1]}\n",
    "fgsm": "- {method: fgsm, eps: [8/255, 0.4]}\n",
    "broken": "- {method: fog\n",
    "map": "method: fog\n",
    "empty": "",
    "unknown": "- {method: frog}\n",
    "extra": "- {method: fog, severity: 3}\n",
    "parameter": "- {method: pgd, eps: [0.1], params: {stepz: 3}}\n",
    "value": "- {method: pgd, eps: [0.1], params: {steps: 0}}\n",
    "severity": "- {method: fog, severities: [9]}\n",
    "budget": "- {method: pgd, eps: [-0.1]}\n",
    "twice": "- {method: fog, severities: [1]}\n- {method: fog, severities: [1]}\n",
    "hexadecimal": "- {method: fog, severities: [0x1]}\n",
    "boolean": "- {method: fog, severities: [true]}\n",
    "deep": "- " + "[" * 100_000 + "]" * 100_000 + "\n",
    "bigint": "- {method: pgd, eps: [0.1], params: {steps: " + "9" * 5000 + "}}\n",
    "tag": "- {method: !!timestamp x}\n",
    "alias": "- &a [*a]\n",
    "infinite": "- {method: pgd, eps: [.inf]}\n",
    "python": "- !!python/object/apply:os.system ['touch hacked']\n",
}


def write_photos(folder: Path, each: int = 6, side: int = 8) -> None:
    """Dark images with mean 0.2 and light ones with mean 0.8, a folder for each."""
    for name, level in (("dark", 51), ("light", 204)):
        (folder / name).mkdir(parents=True)
        for i in range(each):
            noise = np.random.default_rng(i).integers(-20, 21, (side, side, 3))
            pixels = np.clip(level + noise - np.rint(noise.mean()), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")


def write_good(folder: Path) -> None:
    """A net, images, plans."""
    (folder / "net.py").write_text(NET)
    write_photos(folder / "photos")
    for name, text in PLANS.items():
        (folder / f"{name}.yaml").write_text(text)


def write_bad(folder: Path) -> None:
    """Everything that is wrong; the good things are there already, and a finished run named `done`."""
    (folder / "odd.py").write_text(ODD_NETS)
    (folder / "syntax.py").write_text("def build(:\n")
    _weights(folder)
    _images(folder)
    _tables(folder)
    _runs(folder)
    _doors(folder)


def _doors(folder: Path) -> None:
    """Fitted detectors named `doors`, and two that are damaged."""
    from unshaken.detect import fit

    write_photos(folder / "many", each=12)
    fit(f"py:{folder}/net.py:build", f"folder:{folder}/many", ["msp"]).save(folder / "doors")
    for name, file, data in (("doorless", "banks.safetensors", b"no"), ("doortorn", "detectors.json", b"{")):
        shutil.copytree(folder / "doors", folder / name)
        (folder / name / file).write_bytes(data)
    fit(f"py:{folder}/net.py:build", f"folder:{folder}/many", ["energy"]).save(folder / "doormixed")
    shutil.copy(folder / "doors/detectors.json", folder / "doormixed")  # as when a fit was stopped between its files
    shutil.copytree(folder / "doors", folder / "doorpath")
    listed = json.loads((folder / "doors/detectors.json").read_text())
    listed["detectors"][0]["label"] = "../../x"
    (folder / "doorpath/detectors.json").write_text(json.dumps(listed))


class Shell:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        import os

        return os.system, ("touch hacked",)


def _weights(folder: Path) -> None:
    (folder / "evil.pt").write_bytes(pickle.dumps({"state_dict": Shell()}, protocol=2))
    (folder / "page.safetensors").write_text("<!DOCTYPE html><html>log in</html>")
    (folder / "cut.safetensors").write_bytes(struct.pack("<Q", 10_000) + b'{"a":{"dtype":"F32"')
    (folder / "huge.safetensors").write_bytes(struct.pack("<Q", 2**62) + b"{}")


def _images(folder: Path) -> None:
    good = (folder / "photos/dark/0.png").read_bytes()
    for name, file, data in (
        ("zero", "zero.png", b""),
        ("cut", "cut.png", good[: len(good) // 2]),
        ("web", "web.jpg", b"<!DOCTYPE html><html>404</html>"),
        ("text", "text.png", b"an image, honestly"),
        ("bomb", "bomb.png", bomb(60_000)),
        ("markup", "<img src=x onerror=alert(1)>.png", b""),
        ("escape", "\x1b[2J.png", b""),
    ):
        shutil.copytree(folder / "photos", folder / name)
        (folder / name / "dark" / file).write_bytes(data)
    (folder / "nothing").mkdir()
    (folder / "unreadable/dark").mkdir(parents=True)
    (folder / "unreadable/dark/0.png").write_bytes(b"")
    shutil.copytree(folder / "photos", folder / "mixed")
    (folder / "mixed/stray.png").write_bytes(good)
    shutil.copytree(folder / "photos", folder / "linked")
    (folder / "linked/dark/9.png").symlink_to("/etc/passwd")
    for split in ("train", "test"):
        shutil.copytree(folder / "photos", folder / "splits" / split)
    shutil.copytree(folder / "photos", folder / "hostile")
    (folder / "hostile/dark").rename(folder / "hostile/<script>alert(1)<⁄script>")


def bomb(side: int) -> bytes:
    """A PNG of a few kilobytes that says that it has `side * side` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1 << 20)))
        + chunk(b"IEND", b"")
    )


def _tables(folder: Path) -> None:
    def png(level: int) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(np.full((8, 8, 3), level, np.uint8)).save(buffer, "PNG")
        return buffer.getvalue()

    images = [png(level) for level in (40, 45, 50, 55, 60, 200, 205, 210, 215, 220)]
    labels = [0] * 5 + [1] * 5
    ids = list("abcdefghij")
    for name, columns in {
        "good": {"image": images, "label": labels, "id": ids},
        "wide": {"image": images, "label": [*labels[:9], 7], "id": ids},
        "negative": {"image": images, "label": [*labels[:9], -1], "id": ids},
        "null": {"image": images, "label": [None, *labels[1:]], "id": ids},
        "missing": {"image": [*images[:9], None], "label": labels, "id": ids},
        "twins": {"image": images, "label": labels, "id": ["a", "a", *ids[2:]]},
        "nocolumn": {"picture": images, "label": labels},
        "paths": {"image": [f"{i}.png" for i in ids], "label": labels},
        "lists": {"image": images, "label": [[x] for x in labels]},
        "traversal": {"image": images, "label": labels, "id": ["../../escaped", *ids[1:]]},
        "paths-as-ids": {"image": images, "label": labels, "id": ["/etc/passwd", "a/b c", "C:\\escaped", *ids[3:]]},
    }.items():
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    (folder / "text.parquet").write_text("not a table")
    (folder / "plain.txt").write_text("plain")


def _runs(folder: Path) -> None:
    done = folder / "done"
    shutil.copytree(done, folder / "nojson")
    (folder / "nojson/run.json").write_text('{"schema": 1, ')
    shutil.copytree(done, folder / "nofield")
    config = json.loads((done / "run.json").read_text())
    config.pop("plan")
    (folder / "nofield/run.json").write_text(json.dumps(config))
    shutil.copytree(done, folder / "norows")
    shutil.rmtree(folder / "norows/rows")
    shutil.copytree(done, folder / "torn")
    part = folder / "torn/rows/outcomes/fog-1-00000.parquet"
    part.write_bytes(part.read_bytes()[:100])
    shutil.copytree(done, folder / "deepjson")
    (folder / "deepjson/run.json").write_text("[" * 100_000)
    for name, change in (
        ("doubled", lambda rows: pa.concat_tables([rows, rows.slice(0, 2)])),
        ("columnless", lambda rows: rows.drop_columns(["eps"])),
    ):
        shutil.copytree(done, folder / name)
        part = folder / name / "rows/outcomes/fog-1-00000.parquet"
        pq.write_table(change(pq.read_table(part)), part)
    shutil.copytree(done, folder / "locked")
    (folder / "locked/run.lock").write_text(json.dumps({"host": "elsewhere", "pid": 1, "time": 9e9}))
