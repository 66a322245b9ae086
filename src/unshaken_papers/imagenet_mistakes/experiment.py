"""Released judgements as rows, networks on images of two objects, pretrained networks on photos, and people's votes."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.errors import DataError
from unshaken.data import Dataset
from unshaken.data.dataset import digest, file_mark
from unshaken.data.labels import read_class_lines
from unshaken.models.class_names import is_wordnet_id
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken.papers.networks import plan_training
from unshaken_papers.imagenet_mistakes import CONFUSIONS, PASTED, PHOTOS, RELEASED, REVIEWED, SET, ImageNetMistakesPaper
from unshaken_papers.imagenet_mistakes.released import read_confusions, read_mistakes

GREY = 128
"""Pixels of the half of an image in which there is no object."""


def run(paper: ImageNetMistakesPaper, context: Context) -> None:
    """Count, train and test; what is absent is left out."""
    if (folder := released_folder(context.data)) is not None:
        write_released(context, folder)
    if (votes := own_folder("labels-cifar10")) is not None:
        write_votes(context, votes)
    parts = replace(context.datasets, spec=paper.small_data).parts(paper.images, paper.tested)
    for one in context.repetitions(paper.seeds):
        rng = np.random.default_rng(one.seed)
        training = plan_training(paper.epochs, one.seed, lr=0.1, nesterov=True, held_out=1)
        net = one.net("small", context.model, one_object(parts.training, rng), training).model
        shown, second = two_objects(parts.testing, rng)
        one.predict(PASTED, net, shown.batch())
        if not one.has(PASTED, "second_labels"):
            one.write("second_labels", PASTED, {"id": list(shown.ids), "second": second})
    if paper.photos:
        show_photos(paper, context)


def own_folder(name: str) -> Path | None:
    """A folder of `$UNSHAKEN_DATA`; None where it is absent."""
    root = os.environ.get("UNSHAKEN_DATA")
    folder = Path(root).expanduser() / name if root else None
    return folder if folder is not None and folder.is_dir() else None


def released_folder(data: str) -> Path | None:
    """The folder of the released files; None where none is named and `$UNSHAKEN_DATA` has none.

    Raises:
        DataError: the folder that `--data` names is absent.
    """
    if data == SET:
        return own_folder(SET)
    if not (folder := Path(data).expanduser()).is_dir():
        raise DataError(f"data {data!r} is no folder: name the one that holds {', '.join(RELEASED.values())}")
    return folder


def write_released(context: Context, folder: Path) -> None:
    """Rows of the mistakes of both models, and of the confusions of classes."""
    for name, file in RELEASED.items():
        found = read_mistakes(folder / file)
        context.record.add_input(f"data {file}", digest(*file_mark(folder / file)))
        if not context.has(name, "mistakes"):
            rows = [
                {"id": i, "prediction": m.prediction, "category": m.category.value, "severity": m.severity.value}
                for i, m in found.items()
            ]
            context.write("mistakes", name, rows)
    pairs = read_confusions(folder / CONFUSIONS)
    context.record.add_input(f"data {CONFUSIONS}", digest(*file_mark(folder / CONFUSIONS)))
    if not context.has("confusions", "confusions"):
        rows = [{"id": f"{pair.first} {pair.second}", "count": pair.count} for pair in pairs]
        context.write("confusions", "confusions", rows)


def write_votes(context: Context, folder: Path) -> None:
    """Rows of the reviewed test labels of CIFAR-10: the majority's label, and whether a model disagrees."""
    if context.has(REVIEWED, "votes"):
        return
    votes, table = (pq.read_table(folder / f"{name}.parquet") for name in ("mturk", "pyx_test"))
    values = np.stack([table[name].to_numpy() for name in table.column_names if name.startswith("p_")], 1)
    index = votes["test_index"].to_numpy()
    disagrees = values.argmax(1)[index] != table["label"].to_numpy()[index]
    columns = {"id": votes["id"].to_pylist(), "majority": votes["majority"].to_pylist(), "disagrees": disagrees}
    context.write("votes", REVIEWED, columns)


def show_photos(paper: ImageNetMistakesPaper, context: Context) -> None:
    """Outcome rows of the pretrained networks, WordNet ids of the classes, and random pairs of classes."""
    classes = 0
    for place, spec in enumerate(paper.photo_nets):
        model = context.load_model(spec)
        photos = context.datasets.stratified(None, paper.photos, spec=paper.photo_data, view=model.view)
        context.predict(f"{PHOTOS}.{place}", model, photos.batch())
        classes = photos.classes
    if not context.has(PHOTOS, "classes"):
        wnids = wordnet_ids(context.datasets.open(None, paper.photo_data))
        context.write("classes", PHOTOS, {"id": [f"class-{i}" for i in range(len(wnids))], "wnid": wnids})
    if not context.has(PHOTOS, "random_pairs"):
        rng = np.random.default_rng(context.seed)
        first = rng.integers(0, classes, paper.random_pairs)
        second = (first + rng.integers(1, classes, paper.random_pairs)) % classes
        ids = [f"pair-{i}" for i in range(paper.random_pairs)]
        context.write("random_pairs", PHOTOS, {"id": ids, "first": first, "second": second})


def halves(images: Tensor) -> Tensor:
    """Images at half their width: uint8 `[N, C, H, W]` to `[N, C, H, W // 2]`."""
    return F.avg_pool2d(images.float(), (1, 2)).round().to(torch.uint8)


def one_object(data: Split, rng: np.random.Generator) -> Split:
    """Each object in one half of its image, left or right; the other half is grey."""
    objects = halves(data.images)
    return replace(data, images=_joined(objects, torch.full_like(objects, GREY), rng))


def two_objects(data: Split, rng: np.random.Generator) -> tuple[Split, list[int]]:
    """Every second image has an object of another class beside its own; the labels stay those of the first one.

    Args:
        data: images of one object.
        rng: draws the second object, and the side of the first.

    Returns:
        The images, and the label of each one's second object, -1 for none.
    """
    labels, objects = data.labels.numpy(), halves(data.images)
    others, second = torch.full_like(objects, GREY), [-1] * len(data)
    for row in range(1, len(data), 2):
        other = int(rng.choice(np.flatnonzero(labels != labels[row])))
        others[row], second[row] = objects[other], int(labels[other])
    return replace(data, images=_joined(objects, others, rng)), second


def _joined(objects: Tensor, others: Tensor, rng: np.random.Generator) -> Tensor:
    """Two halves side by side, the first ones on a side that is drawn for each image."""
    left = torch.from_numpy(rng.random(len(objects)) < 0.5)[:, None, None, None]
    return torch.cat([torch.where(left, objects, others), torch.where(left, others, objects)], 3)


def wordnet_ids(photos: Dataset) -> list[str]:
    """WordNet ids in label order from the file of class names beside the photos; none where it has none."""
    file = Path(photos.root).with_name("classes.txt")
    lines = [line.partition("\t")[0] for line in read_class_lines(file, photos.root)] if file.is_file() else []
    return lines if all(map(is_wordnet_id, lines)) else []
