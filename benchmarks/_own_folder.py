"""The folder of a newcomer: photos of several sizes in class folders, half of them links into a cache, a net, a script.

Real photos come from the pack `imagenet-sample` (`photos.parquet` with `image` and `label`, `classes.txt` with WordNet
ids); without it, they are made from the embedded clothes, enlarged to several sizes and tinted.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from unshaken.data import load_data


class Photo(NamedTuple):
    """An image, the newcomer's name of its class, and the WordNet id of what it shows."""

    image: Image.Image
    name: str
    wordnet: str


ANIMALS = {
    "birds": (*range(7, 25), *range(80, 101), *range(127, 147)),
    "dogs": tuple(range(151, 269, 2)),
    "insects": tuple(range(300, 327)),
    "reptiles": tuple(range(25, 69)),
}
CLOTHES = {
    0: ("shirts", "n03595614"),
    1: ("trousers", "n03594734"),
    5: ("shoes", "n04133789"),
    8: ("bags", "n03709823"),
}
HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(64)

NET = '''"""The newcomer's own net."""

from pathlib import Path

from safetensors.torch import load_file
from torch import nn

HERE = Path(__file__).parent


def new(width=SIZE // 4):
    def block(before, after):
        return nn.Sequential(nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2))

    body = [block(3, width), block(width, 2 * width), block(2 * width, 4 * width)]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, 4))


def build():
    net = new()
    net.load_state_dict(load_file(HERE / "net.safetensors"))
    return net.eval()
'''

TRAIN = '''"""The newcomer's own training script."""

import sys

import torch
from net import new
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy
from torchvision import transforms as T
from torchvision.datasets import ImageFolder

torch.manual_seed(0)
crop = T.Compose([T.Resize(SIZE), T.CenterCrop(SIZE), T.ToTensor()])
images, labels = zip(*ImageFolder("photos/train", crop))
images, labels = torch.stack(images), torch.tensor(labels)
net = new()
optimizer = torch.optim.AdamW(net.parameters(), 3e-3)
for epoch in range(int(sys.argv[1])):
    for part in torch.randperm(len(images)).split(32):
        flip = images[part].flip(3) if epoch % 2 else images[part]
        loss = cross_entropy(net(flip), labels[part])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
save_file(net.state_dict(), "net.safetensors")
print(f"trained on {len(images)} photos, loss {loss:.3f}")
'''

OBJECTS = '''"""The same test photos as tar shards, arrays, ImageFolder, loader and Hugging Face data set."""

import io
import tarfile
from pathlib import Path

import datasets
import numpy as np
from torch.utils.data import DataLoader
from torchvision import transforms as T
from torchvision.datasets import ImageFolder

import unshaken

folder = unshaken.load_data("folder:photos/test?links=cache&size=SIZE")
good = [i for i in range(len(folder)) if not folder.ids[i].endswith("heic")]
X = np.stack([folder.read(i) for i in good])
Y = np.array([folder.labels[i] for i in good])
with tarfile.open("test-000.tar", "w") as tar:
    for i in good:
        name = folder.ids[i].replace("/", "-").removesuffix(".jpg")
        photo = Path("photos/test", folder.ids[i]).read_bytes()
        for end, data in ((".jpg", photo), (".cls", b"%d" % folder.labels[i])):
            info = tarfile.TarInfo(name + end)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
crop = T.Compose([T.Resize(SIZE), T.CenterCrop(SIZE), T.ToTensor()])
images = ImageFolder("photos/test", crop)
hub = datasets.Dataset.from_dict(
    {"image": list(X), "label": list(Y)},
    features=datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(folder.classes))}),
)
found = {}
for name, data in {
    "folder": folder, "wds": "wds:test-000.tar?size=SIZE", "arrays": (X, Y), "ImageFolder": images,
    "DataLoader": DataLoader(images, 8), "hf": hub,
}.items():
    result = unshaken.audit("py:net.py:build", data, [{"method": "contrast", "severities": [3]}], out=f"runs/as-{name}")
    found[name] = result.summary["clean"]
print(", ".join(f"{name} {clean['value']:.3f} of {clean['n']}" for name, clean in found.items()))
for name in ("wds", "arrays", "hf"):
    assert found[name] == found["folder"], name
for name in ("ImageFolder", "DataLoader"):
    assert found[name]["n"] == len(good) - 1, name  # torchvision leaves out a file without extension
'''


def real_photos(pack: Path, each: int) -> Iterator[Photo]:
    """Photos of four kinds of animals, at most `each` of a kind."""
    table = pq.read_table(pack / "photos.parquet", columns=["image", "label"])
    row = {label: number for number, label in enumerate(table["label"].to_pylist())}
    ids = [line.split("\t")[0] for line in (pack / "classes.txt").read_text(encoding="utf-8").splitlines()]
    for name, labels in ANIMALS.items():
        for label in labels[:each]:
            data = table["image"][row[label]].as_py()
            yield Photo(Image.open(io.BytesIO(data)).convert("RGB"), name, ids[label])


def made_photos(each: int) -> Iterator[Photo]:
    """Four kinds of the embedded clothes, `each` of a kind, in several sizes and tints."""
    demo, left = load_data("demo"), dict.fromkeys(CLOTHES, each)
    for index in range(len(demo)):
        label = int(demo.labels[index])
        if left.get(label, 0):
            left[label] -= 1
            dice = np.random.default_rng(index)
            grey = Image.fromarray(demo.read(index)[:, :, 0]).resize(dice.integers(40, 90, 2).tolist())
            pixels = np.asarray(grey)[:, :, None] * dice.uniform(0.6, 1, 3)
            yield Photo(Image.fromarray(pixels.astype(np.uint8)), *CLOTHES[label])


def write_folder(folder: Path, photos: Iterable[Photo], size: int = 64) -> None:
    """Write everything that the newcomer has, and nothing else.

    `photos/train` and `photos/test` hold two thirds and one third; every other test photo is a link into `cache`, as in
    DVC. `test` also has a HEIC file and a photo without extension. `named/WORDNET-ID` holds the test photos
    again. `net.py` and `train.py` are a net for four classes at `size` pixels and its training.
    """
    for number, photo in enumerate(photos):
        part = "test" if number % 3 == 0 else "train"
        place = folder / "photos" / part / photo.name / f"{number:03d}.jpg"
        data = _jpeg(photo.image)
        place.parent.mkdir(parents=True, exist_ok=True)
        if part == "test" and number % 2:
            _link(place, data, folder / "cache")
        elif number == 0:
            place.with_suffix("").write_bytes(data)
            place.with_suffix(".heic").write_bytes(HEIC)
        else:
            place.write_bytes(data)
        if part == "test":
            named = folder / "named" / photo.wordnet / f"{number:03d}.jpg"
            named.parent.mkdir(parents=True, exist_ok=True)
            named.write_bytes(data)
    for file, text in (("net.py", NET), ("train.py", TRAIN), ("objects.py", OBJECTS)):
        (folder / file).write_text(text.replace("SIZE", str(size)), encoding="utf-8")


def _jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()


def _link(place: Path, data: bytes, cache: Path) -> None:
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    target = cache / digest[:2] / digest[2:]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    place.symlink_to(target.resolve())
