"""Small data sets, and one tiny run of each row, made once and shared by the row's own tests and the battery.

A row enters the battery by a line in `TINY`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from unshaken.attack import AutoAttack, CarliniWagner
from unshaken.core.errors import MissingExtra
from unshaken.detect.engine.base import Bank, Detector
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.moderation.policy_conditional import fit_conditional
from unshaken.generate.upscaler import Upscaler
from unshaken.harden.engine.fit import fresh
from unshaken.models import save_model
from unshaken.papers import PaperResult, run_paper
from unshaken_papers.corruption_suite import GROUPS
from unshaken_papers.mahalanobis.experiment import ATTACKS, Budget
from unshaken_papers.robust_mae import VARIANTS

FOUR = tuple(names[0] for names in GROUPS.values())
"""A corruption of each group."""


def make_tints(
    folder: Path, train: int = 540, test: int = 40, side: int = 12, classes: int = 3, brighter: int = 100
) -> str:
    """Noise in three tints, as Parquet with the splits train and test; small networks learn it at once.

    Of six classes the last three have a brighter upper half.
    """
    rng = np.random.default_rng(0)
    columns: dict[str, list[object]] = {"id": [], "image": [], "label": [], "split": []}
    for split, n in (("train", train), ("test", test)):
        for i in range(n):
            pixels = rng.integers(0, 120, (side, side, 3)).astype(np.uint8)
            pixels[..., i % 3] += brighter
            pixels[: side // 2] += 30 * (i % classes > 2)
            out = io.BytesIO()
            Image.fromarray(pixels).save(out, "PNG")
            for key, entry in zip(columns, (f"{split}{i:03}", out.getvalue(), i % classes, split), strict=True):
                columns[key].append(entry)
    pq.write_table(pa.table(columns), folder / "tints.parquet")
    return f"parquet:{folder}/tints.parquet"


def make_doubted(folder: Path) -> str:
    """Tints; and `people.parquet` with the training images, of whose labels three in ten are the next class."""
    spec = make_tints(folder)
    table = pq.read_table(folder / "tints.parquet")
    table = table.filter(pc.equal(table["split"], "train")).drop_columns("split")
    labels = pa.array([(c + (i % 10 < 3)) % 3 for i, c in enumerate(table["label"].to_pylist())])
    pq.write_table(table.set_column(table.column_names.index("label"), "label", labels), folder / "people.parquet")
    return spec


def make_mistakes(folder: Path) -> str:
    """Released judgements of two models, few and made up, beside tints; three files are mistakes of both."""
    kinds = (
        ("Fine-grained error", "Major"),
        ("Fine-grained with OOV", "Minor"),
        ("Spurious Correlation", "Borderline"),
    )
    for name, places in (("vit3b", range(6)), ("greedy_soups", range(3, 8))):
        made = {
            f"file{i}": {"top_prediction": i + (i == 5 and name == "vit3b")}
            | dict(zip(("failure category", "failure severity"), kinds[i % 3], strict=True))
            for i in places
        }
        (folder / f"{name}_mistakes.json").write_text(json.dumps(made))
    (folder / "class_confusion_wnids.json").write_text(json.dumps([["n01440764", "n01443537", 2], ["n2", "n1", 1]]))
    make_tints(folder)
    return str(folder)


def make_bands(folder: Path, classes: int = 5) -> str:
    """Colour noise with a brighter band for each class, as folders of PNG; 100 training and 40 test images a class."""
    rng = np.random.default_rng(0)
    for split, n in (("train", 100), ("test", 40)):
        for c in range(classes):
            place = folder / split / f"class{c}"
            place.mkdir(parents=True, exist_ok=True)
            for i in range(n):
                pixels = rng.integers(0, 120, (12, 12, 3)).astype(np.uint8)
                pixels[2 * c : 2 * c + 3] += 18
                Image.fromarray(pixels).save(place / f"{i}.png")
    return f"folder:{folder}"


def make_stripes(folder: Path) -> str:
    """Grey noise with a bright line for each of three classes, as folders of PNG; 60 training and 30 test images."""
    rng = np.random.default_rng(0)
    for split, n in (("train", 60), ("test", 30)):
        for i in range(n):
            place = folder / split / f"class{i % 3}"
            place.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 120, (8, 8)).astype(np.uint8)
            pixels[i % 3] += 100
            Image.fromarray(pixels).save(place / f"{i}.png")
    return f"folder:{folder}"


def make_blots(folder: Path) -> str:
    """Smooth pictures of random colours with some noise, as Parquet of which the split train is given; 60 of 80."""
    rng = np.random.default_rng(0)
    small = torch.rand(80, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    images = torch.nn.functional.interpolate(small, 32, mode="bilinear") * 255
    images = (images + torch.from_numpy(rng.normal(0, 8, images.shape))).clamp(0, 255).to(torch.uint8)
    columns: dict[str, list[object]] = {"id": [], "image": [], "label": [], "split": []}
    for i, image in enumerate(images):
        out = io.BytesIO()
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(out, "PNG")
        row = (f"p{i}", out.getvalue(), i % 2, "train" if i < 60 else "test")
        for key, entry in zip(columns, row, strict=True):
            columns[key].append(entry)
    pq.write_table(pa.table(columns), folder / "blots.parquet")
    return f"parquet:{folder}/blots.parquet?split=train"


def make_colours(folder: Path) -> str:
    """Noise around four colours, as Parquet with 120 training and 40 test images; `?split=` may follow."""
    rng = np.random.default_rng(0)
    colours = np.array([[150, 60, 60], [60, 150, 60], [60, 60, 150], [140, 140, 60]])
    columns: dict[str, list[object]] = {"id": [], "image": [], "label": [], "split": []}
    for split, n in (("train", 120), ("test", 40)):
        for i in range(n):
            pixels = np.clip(colours[i % 4] + rng.normal(0, 45, (16, 16, 3)), 0, 255).astype(np.uint8)
            out = io.BytesIO()
            Image.fromarray(pixels).save(out, "PNG")
            for key, entry in zip(columns, (f"{split}{i}", out.getvalue(), i % 4, split), strict=True):
                columns[key].append(entry)
    pq.write_table(pa.table(columns), folder / "colours.parquet")
    return f"parquet:{folder}/colours.parquet"


def make_squares(folder: Path) -> str:
    """Grey noise with a bright square in one of three corners, as Parquet with 120 training and 30 test images."""
    rng = np.random.default_rng(0)
    columns: dict[str, list[object]] = {"id": [], "image": [], "label": [], "split": []}
    for split, n in (("train", 120), ("test", 30)):
        labels = np.arange(n) % 3
        images = rng.integers(40, 160, (n, 12, 12)).astype(np.uint8)
        for i, (pixels, label) in enumerate(zip(images, labels.tolist(), strict=True)):
            top, left = divmod(label, 2)
            pixels[6 * top : 6 * top + 6, 6 * left : 6 * left + 6] += 50
            out = io.BytesIO()
            Image.fromarray(pixels).save(out, "PNG")
            for key, entry in zip(columns, (f"{split}{i}", out.getvalue(), label, split), strict=True):
                columns[key].append(entry)
    pq.write_table(pa.table(columns), folder / "squares.parquet")
    return f"parquet:{folder}/squares.parquet"


def make_tiles(folder: Path) -> str:
    """Smooth images of 16 pixels in colour, two classes, as Parquet with 120 training and 90 test images."""
    rng = np.random.default_rng(0)
    columns: dict[str, list[object]] = {"id": [], "image": [], "label": [], "split": []}
    for split, n in (("train", 120), ("test", 90)):
        for i in range(n):
            tile = rng.integers(40, 215, (4, 4, 3)).astype(np.uint8)
            out = io.BytesIO()
            Image.fromarray(tile).resize((16, 16), Image.Resampling.BILINEAR).save(out, "PNG")
            for key, entry in zip(columns, (f"{split}{i}", out.getvalue(), i % 2, split), strict=True):
                columns[key].append(entry)
    pq.write_table(pa.table(columns), folder / "tiles.parquet")
    return f"parquet:{folder}/tiles.parquet"


def make_rows(folder: Path) -> str:
    """Grey noise with a bright row for each of ten classes, as Parquet with 300 training and 80 test images."""
    rng = np.random.default_rng(0)
    columns: dict[str, list[object]] = {"id": [], "image": [], "label": [], "split": []}
    for split, n in (("train", 300), ("test", 80)):
        for i in range(n):
            pixels = rng.integers(0, 60, (28, 28)).astype(np.uint8)
            pixels[2 * (i % 10) + 3] += 150
            out = io.BytesIO()
            Image.fromarray(pixels).save(out, "PNG")
            for key, entry in zip(columns, (f"{split}{i:03}", out.getvalue(), i % 10, split), strict=True):
                columns[key].append(entry)
    pq.write_table(pa.table(columns), folder / "rows.parquet")
    return f"parquet:{folder}/rows.parquet"


class Bright(Detector):
    """Pictures are flagged by their brightness."""

    def score(self, forward: ForwardPass, bank: Bank) -> torch.Tensor:
        """The mean of the pixels."""
        return forward.pixels.mean((1, 2, 3)).double()


class Ghost(Detector):
    """A classifier whose package is absent."""

    def score(self, forward: ForwardPass, bank: Bank) -> torch.Tensor:
        """Nothing."""
        raise MissingExtra("ghost", "safety", "detector 'ghost'")


def untrained_cnn(classes: int) -> Callable[[Path], str]:
    """Writes an untrained `small-cnn` for colour images of 32 pixels into a folder, and gives its SPEC."""

    def make(folder: Path) -> str:
        images = torch.randint(0, 255, (8, 3, 32, 32), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
        save_model(fresh("small-cnn", images, classes=classes, seed=0), folder / "net", arch="small-cnn")
        return f"run:{folder}/net"

    return make


def untrained_upscaler(folder: Path) -> Upscaler:
    """A super-resolution network without training, in the place of npm's."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Upscaler().eval()


def make_faint_tints(folder: Path, train: int = 150, test: int = 60, brighter: int = 60) -> str:
    """Noise of 16 pixels with one bright colour, the label, as Parquet with the splits train and test."""
    rng = np.random.default_rng(0)
    columns: dict[str, list[object]] = {"id": [], "image": [], "label": [], "split": []}
    for split, n in (("train", train), ("test", test)):
        labels, images = rng.integers(0, 3, n), rng.integers(0, 120, (n, 16, 16, 3)).astype(np.uint8)
        for i, (pixels, label) in enumerate(zip(images, labels.tolist(), strict=True)):
            pixels[..., label] += brighter
            out = io.BytesIO()
            Image.fromarray(pixels).save(out, "PNG")
            for key, entry in zip(columns, (f"{split}{i}", out.getvalue(), label, split), strict=True):
                columns[key].append(entry)
    pq.write_table(pa.table(columns), folder / "tints.parquet")
    return f"parquet:{folder}/tints.parquet"


def make_halves(folder: Path) -> str:
    """Grey noise that is brighter above or below, two classes, as Parquet with 200 training and 40 test images."""
    rng = np.random.default_rng(0)
    columns: dict[str, list[object]] = {"id": [], "image": [], "label": [], "split": []}
    for split, n in (("train", 200), ("test", 40)):
        for i in range(n):
            pixels, label = rng.integers(0, 120, (6, 6)).astype(np.uint8), i % 2
            pixels[3 * label : 3 * label + 3] += 100
            out = io.BytesIO()
            Image.fromarray(pixels).save(out, "PNG")
            for key, entry in zip(columns, (f"{split}{i}", out.getvalue(), label, split), strict=True):
                columns[key].append(entry)
    pq.write_table(pa.table(columns), folder / "halves.parquet")
    return f"parquet:{folder}/halves.parquet"


def make_meanings(folder: Path) -> str:
    """Files of WordNet's form: meanings with an example each, in the files of artefacts and of communication."""
    words = ("bird", "engine", "river", "guitar", "castle", "lemon", "window", "planet", "hammer", "letter", "garden")
    for letter, part in zip("nvar", ("noun", "verb", "adj", "adv"), strict=True):
        lines = [
            f"{i:08d} {6 if i < 14 else 10:02d} {letter} 01 {words[i % 11]}_{part}{i} 0 000 | a {words[i * i % 11]}; "
            f'"the {words[i % 11]} is {part}{i} near a {words[i * 7 % 11]}"'
            for i in range(28)
        ]  # fmt: skip
        (folder / f"data.{part}").write_text("\n".join(lines) + "\n")
    return f"folder:{folder}"


def small_perceptron(width: int) -> dict[str, float]:
    """How the perceptrons of `smt-verification` are trained quickly."""
    return {"width": width, "epochs": 5, "lr": 2e-2, "batch_size": 32, "eps": 0.05}


@dataclass(frozen=True)
class Tiny:
    """How a row is run in a few seconds.

    Args:
        parameters: as after the slug on the command line; `{folder}` stands for that of the data.
        make: writes the data into a folder, and gives its SPEC.
        other: a parameter with another value, which a resumed run must refuse.
        patches: module attribute to a smaller value, for sizes that are no parameters.
        model: writes a model into the folder, and gives its SPEC; None for the row's own.
        wall_times: ends of the names of figures that a resumed run measures anew.
        needs: modules of extras without which the row is not run.
    """

    parameters: str
    make: Callable[[Path], str]
    other: str
    patches: Mapping[str, object] = field(default_factory=dict)
    model: Callable[[Path], str] | None = None
    wall_times: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


SHORT_CW = Budget(CarliniWagner(steps=20, search_steps=1, initial_c=1.0, step_size=0.05, polish=0), "l2", 10.0)
"""Carlini and Wagner's attack in few and large steps."""
QUICK_MAPS = {"gradient": ("gradient", "input-x-gradient"), "cam": ("gradcam",), "perturbation": ("rise:samples=2",)}
"""Methods of `explainability` in few passes, by family."""
TINY: dict[str, Tiny] = {
    "accuracy-disparity": Tiny(
        "seeds=2,samples=400,majority=0,minority=1,largest=40,net_seeds=2,net_largest=40,epochs=1",
        make_bands,
        "largest=39",
    ),
    "adaptive-smoothing": Tiny(
        "train=160,test=60,attacked=16,epochs=2,robust_epochs=2,seeds=2,steps=2,mixing=64,mixing_epochs=1,certified=8,"
        "votes=60",
        partial(make_faint_tints, train=180, test=70), "steps=3",
    ),
    "adele": Tiny("seeds=2,scenes=12,tested=4,garments=6,epochs=5,batch_size=4,every=1,more=2", make_rows, "epochs=7"),
    "adversarial-training": Tiny(
        "images=100,epochs=1,tested=30,attacked=2,seeds=2",
        make_tints,
        "epochs=2",
        {"unshaken_papers.adversarial_training.experiment.AutoAttack": partial(AutoAttack, steps=10, queries=50)},
    ),
    "ai-image-detector-limits": Tiny(
        "images=40,denoised=10,diffused=4,attacked=6,seeds=2,train=60,denoiser_steps=3,mark_steps=60,"
        "substitute_epochs=2,steps=3,swapped=20,swapped_tested=10,swapped_epochs=1",
        make_tiles,
        "steps=4",
        patches={"unshaken_papers.ai_image_detector_limits.experiment.DCT_BITS": 8},
    ),
    "attack-suite": Tiny("images=150,epochs=2,attacked=8,seeds=2,steps=2,queries=3", make_tints, "steps=3"),
    "clip-holistic": Tiny(
        "images=60,passes=60,tuning=60,test=24,choosing=16,encoder=hashed-pieces,seeds=1", make_tints, "tuning=120",
        patches={"unshaken_papers.clip_holistic.experiment.OTHERS": ()},
    ),
    "corruption-suite": Tiny(
        "images=150,epochs=1,tested=12,seeds=2,photos=4,photo_data=demo,photo_nets=demo:robust+demo:standard",
        make_tints, "epochs=2",
        patches={
            **{f"unshaken_papers.corruption_suite.{file}.NAMES": FOUR for file in ("experiment", "figures")},
            **{f"unshaken_papers.corruption_suite.{file}.OTHERS": ("lines",) for file in ("experiment", "figures")},
            "unshaken_papers.corruption_suite.figures.GROUPS": {g: n[:1] for g, n in GROUPS.items()},
        },
    ),
    "coco-o": Tiny(
        "seeds=2,scenes=10,tested=6,garments=6,steps=2+3,batch_size=5,width=16,layer=body.0", make_rows, "batch_size=4",
        model=untrained_cnn(4),
    ),
    "crlnet": Tiny(
        "base=16,supports=3,queries=3,channels=8,hidden=8,steps=2,pairs=4,episodes=4,seeds=2",
        partial(make_tints, train=24, test=36, side=16, classes=4), "steps=3", model=untrained_cnn(4),
    ),
    "crop-selection": Tiny("photos=40", lambda folder: "demo", "photos=39", model=lambda folder: "demo:standard"),
    "cross-modal-dilution": Tiny(
        "seeds=2,images=120,samples=60,test=30,epochs=1,steps=20,candidates=3", make_tints, "candidates=4",
        model=lambda folder: "hashed-pieces",
    ),
    "crossmax-ensemble": Tiny(
        "photos=20,images=160,epochs=2,seeds=1,steps=3,system_images=160,system_epochs=1,system_photos=6,"
        "system_steps=2,draws=2",
        make_tints, "steps=4", patches={"unshaken.attack.ensembles.autoattack.EOT": 3},
    ),
    "detection-suite": Tiny(
        "seeds=2,train=400,epochs=10,images=40,neighbours=3", make_bands, "images=41",
        patches={"unshaken_papers.detection_suite.experiment.FAR": ()},
    ),
    "dual-randomized-smoothing": Tiny(
        "train=240,test=60,epochs=3,certified=12,n=200,n0=20,seeds=2,sigmas=0.4,alpha=0.01",
        partial(make_faint_tints, train=240, brighter=120), "n=100",
    ),
    "dverge": Tiny("photos=30,attacked=12,images=520,baseline=8,epochs=2,steps=3,seeds=1", make_tints, "epochs=3"),
    "early-learning-regularization": Tiny(
        "photos=60,test=20,choosing=20,epochs=2,seeds=1,draws=2", make_tints, "epochs=3",
        patches={
            "unshaken_papers.early_learning_regularization.experiment.CURVE": (0, 10, 20),
            "unshaken_papers.early_learning_regularization.figures.CURVE": (0, 10, 20),
        },
    ),
    "efficient-robustify": Tiny(
        "seeds=1,train=100,teacher_train=120,test=16,epochs=1,teacher_epochs=1,tuning_epochs=1", make_tints, "test=15"
    ),
    "explainability": Tiny(
        "seeds=2,images=60,epochs=1,tested=28,mosaics=3,pasted=3,removed=3", make_colours, "epochs=2",
        patches={
            "unshaken_papers.explainability.experiment.STRIDES": (2, 2, 1, 1),
            "unshaken_papers.explainability.experiment.STEPS": 2,
            "unshaken_papers.explainability.experiment.METHODS": sum(QUICK_MAPS.values(), ()),
            "unshaken_papers.explainability.figures.FAMILIES": QUICK_MAPS,
            "unshaken_papers.explainability.figures.NAMES": ("gradient", "input-x-gradient", "gradcam", "rise"),
            **{f"unshaken_papers.explainability.{f}.CONTROLS": ("random-map",) for f in ("experiment", "figures")},
        },
    ),
    "features-off-the-shelf": Tiny(
        "far=parquet:{folder}/tints.parquet,images=60,train=50,test=40,views=40,seeds=2",
        partial(make_tints, train=60), "train=49", model=untrained_cnn(3), needs=("sklearn", "skimage"),
    ),
    "fgsm-cw-distillation": Tiny(
        "train=200,test=40,attacked=16,nearest=6,epochs=2,longer=2,cw_steps=20,cw_searches=3,seeds=1",
        partial(make_tints, classes=6),
        "cw_steps=10",
    ),
    "filter-db": Tiny(
        "seeds=2,images=40,epochs=1,other=parquet:{folder}/tints.parquet,few=30,short=1,longer=2,wider=2,tested=8",
        partial(make_tints, train=60, test=12, side=16), "few=29",
    ),
    "fooling-images": Tiny(
        "train=240,test=60,epochs=1,steps=4,population=8,direct_generations=3,cppn_generations=3,rejects=20,"
        "imagenet_classes=0,seeds=1",
        make_rows,
        "steps=5",
    ),
    "foundation-oracle-robustness": Tiny(
        "images=120,epochs=3,oracles=demo:robust,held_out=demo:standard,side=0,probed=60,coder_steps=20,pool=16,"
        "attacked=8,steps=3,rate=0.5,seeds=2",
        make_tints, "steps=2", model=lambda folder: "strided-cnn",
    ),
    "generated-datasets": Tiny(
        "seeds=2,images=60,corpus=120,components=3,epochs=2,test=30", partial(make_tints, brighter=15), "test=29"
    ),
    "hyperspherical": Tiny(
        "images=180,test=60,novel=2,splits=1,seeds=2,epochs=1,draws=2",
        partial(make_tints, train=180, test=60, classes=6),
        "draws=3",
    ),
    "imagenet-e": Tiny(
        "photos=40,garments=40,seeds=2,map=gradcam", lambda folder: "demo", "photos=39",
        model=lambda folder: "demo:standard|demo:robust|demo:standard",
    ),
    "imagenet-mistakes": Tiny(
        "seeds=1,images=200,tested=40,epochs=4,small_data=parquet:{folder}/tints.parquet,photos=40,photo_data=demo,"
        "photo_nets=demo:robust+demo:standard,random_pairs=60",
        make_mistakes,
        "tested=39",
    ),
    "intrinsic-properties": Tiny(
        "seeds=2,other=,pairs=4,train=48,test=12,sharp=30,attacked=6,epochs=1,sweep=1,fractions=0.5+0.75",
        partial(make_bands, classes=4), "attacked=5",
    ),
    "label-noise-suite": Tiny(
        "photos=60,further=30,test=20,choosing=20,folds=2,fold_epochs=1,epochs=2,seeds=1,"
        "human=parquet:{folder}/people.parquet",
        make_doubted, "epochs=3",
    ),
    "mahalanobis": Tiny(
        "seeds=2,train=400,epochs=10,images=60,attacked=60,tune=36,steps=0.001,shots=20", make_bands, "tune=35",
        {"unshaken_papers.mahalanobis.experiment.ATTACKS": {**ATTACKS, "cw": SHORT_CW}},
    ),
    "milan": Tiny(
        "images=200,tested=40,choosing=20,epochs=2,probes=40,most=3,annotated=20,described=6,caption_epochs=2,seeds=2",
        make_tints,
        "epochs=1",
    ),
    "mixup-calibration": Tiny(
        "seeds=2,largest=2,epochs=1,gaussian_epochs=1,photos=40,photo_epochs=1", make_stripes, "epochs=2"
    ),
    "noiser": Tiny(
        "seeds=2,photos=4,hidden=2,steps=2", lambda folder: "demo", "steps=3", model=lambda folder: "demo:standard",
        wall_times=("step_seconds", "image_seconds"),
    ),
    "natra": Tiny(
        "images=100,reference=80,epochs=2,fitting=3,latents=3,directions=2,draws=1,attacked=2,inverted=4,inversion=8,"
        "test=20,seeds=2", make_tints, "draws=2",
    ),
    "ranking-robustness": Tiny(
        "seeds=2,tested=3,learned=4,documents=60,trees=2", make_meanings, "trees=3",
        model=lambda folder: "hashed-pieces", needs=("ir_measures", "sklearn"),
    ),
    "rcal": Tiny(
        "seeds=2,largest=60,ratio=4,test=60,choosing=30,pretraining=2,epochs=2", make_bands, "test=59",
        needs=("sklearn",),
    ),
    "rigid": Tiny(
        "photos=4,calibration=19,seeds=2,draws=2,lambdas=0+0.02,learned=14,coder_steps=2,generator_steps=2,"
        "small=parquet:{folder}/blots.parquet", make_blots, "draws=3", model=untrained_cnn(2),
        patches={
            "unshaken_papers.rigid.experiment.find_upscaler": Path,
            "unshaken_papers.rigid.experiment.load_upscaler": untrained_upscaler,
        },
    ),
    "robust-mae": Tiny(
        "train=90,test=24,epochs=1,steps=2,confirm=4,queries=5,seeds=1", make_squares, "steps=3",
        patches={
            "unshaken_papers.robust_mae.experiment.AutoAttack": partial(AutoAttack, steps=3),
            "unshaken_papers.robust_mae.experiment.VARIANTS": {
                name: {**options, "clusters": min(options["clusters"], 3)} for name, options in VARIANTS.items()
            }
        },
    ),
    "robust-weight-signatures": Tiny(
        "seeds=2,pretraining=120,tuning=80,validation=12,test=24,epochs=6,tuning_epochs=1", make_tints, "test=23"
    ),
    "rrcm": Tiny(
        "unlabelled=120,test=45,per_class=4,epochs=2,steps=20,seeds=2,sigmas=0.1+0.2,images=3,n=60,denoiser_steps=3",
        make_faint_tints, "steps=30", wall_times=("seconds",),
    ),
    "seabird": Tiny(
        "seeds=2,scenes=10,tested=6,choosing=4,epochs=1,batch_size=5,photos=20,runs=20", make_rows, "epochs=2"
    ),
    "shape-simplicity-bias": Tiny(
        "seeds=2,images=120,epochs=1,tested=40,attacked=6,steps=1,garments=parquet:{folder}/tints.parquet,outlines=60,"
        "outline_tests=30,outline_epochs=1,composites=12",
        make_tints, "steps=2", patches={"unshaken_papers.shape_simplicity_bias.experiment.GARMENTS": (0, 1, 2)},
    ),
    "smt-verification": Tiny(
        "images=3,seeds=1,train=150,seconds=20,seconds_many=20,most=8", make_halves, "most=7",
        patches={
            **{f"unshaken_papers.smt_verification.{file}.PIXELS": (2, 10) for file in ("experiment", "figures")},
            "unshaken_papers.smt_verification.experiment.GRID": 1100,
            "unshaken_papers.smt_verification.nets.DIGITS": small_perceptron(6),
            "unshaken_papers.smt_verification.nets.OTHERS": small_perceptron(6),
        },
        wall_times=("seconds.median", "seconds.most", "slowest_at_10"), needs=("sklearn", "z3"),
    ),
    "synthetic-scaling": Tiny(
        "seeds=2,sizes=16+48,shown=96,batch_size=16,fitted=120,components=4,clusters=2,temperatures=50+100,test=30,"
        "choosing=10",
        partial(make_tints, brighter=15), "shown=97",
    ),
    "token-attention": Tiny("train=96,test=30,epochs=1,tune=1,seeds=1,looked=10,threshold=0.9", make_tints, "looked=9"),
    "textile": Tiny(
        "seeds=2,textures=32,tested=16,epochs=1,optimised=2,steps=2,side=16", lambda folder: "made-textures", "steps=3"
    ),
    "tract": Tiny(
        "train=200,test=27,choosing=13,epochs=3,rates=0.05+0.2,adam_rates=0.002+0.01,vit_epochs=1,vit_rates=0.001,"
        "seeds=2", make_tints, "ridge=0.2",
    ),
    "uncurated-pretraining": Tiny(
        "images=96,epochs=1,batch=16,prototypes=4,sources=parquet:{folder}/tints.parquet?split=train|"
        "parquet:{folder}/tints.parquet?split=test&size=16,transfer=parquet:{folder}/tints.parquet,domains=train|test,"
        "probe=40,test=12,copied=3,seeds=2",
        partial(make_tints, train=240, classes=6), "copied=4", needs=("sklearn",),
    ),
    "unsafebench": Tiny(
        "train=60,test=20,seeds=2,side=32,attacked=6,steps=3,harmless=8,flagged=0+2,"
        "photos=parquet:{folder}/colours.parquet?split=test", make_colours, "steps=4", model=untrained_cnn(4),
        patches={
            "unshaken_papers.unsafebench.experiment.fit_conditional": partial(fit_conditional, steps=100),
            "unshaken_papers.unsafebench.harmless.ADAPTERS": {"bright": (Bright(), 0.35), "ghost": (Ghost(), 0.5)}
        },
    ),
    "viewpoint-adversarial-training": Tiny(
        "photos=2,tested=1,samples=4,epochs=1,batch=8,components=2,pairs=2,iterations=1,seeds=1",
        lambda folder: "solids:1?size=12", "samples=3",
    ),
    "vit-patch": Tiny(
        "photos=26,attacked=8,epochs=2,steps=2,starts=1,seeds=1,scanned=2,places=20,scan_steps=1,fool_steps=2",
        partial(make_tints, train=256, test=80, side=32, brighter=40), "steps=4",
    ),
    "web-noise-lsa": Tiny(
        "seeds=2,control_seeds=1,train=150,test=60,pretraining=2,epochs=2,known=50", make_bands, "test=59",
        needs=("sklearn",),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Finished:
    """A tiny run.

    Args:
        text: slug and parameters.
        data: SPEC.
        model: SPEC, or None for the row's own.
        out: the run directory.
        cache: the folder of trained networks.
        result: of the first run.
    """

    text: str
    data: str
    model: str | None
    out: Path
    cache: Path
    result: PaperResult

    @property
    def seed0(self) -> dict[str, Any]:
        """The figures of the first seed, of rows that keep them by seed."""
        return {k.removeprefix("seed0."): v for k, v in self.result.measured.items() if k.startswith("seed0.")}


@pytest.fixture(scope="session")
def tints(tmp_path_factory: pytest.TempPathFactory) -> str:
    """See `make_tints`."""
    return make_tints(tmp_path_factory.mktemp("tints"))


@pytest.fixture(scope="session")
def tiny_runs() -> dict[str, Tiny]:
    """How each row is run in a few seconds."""
    return TINY


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Finished]]:
    """From a slug to its tiny run, made at the first call; its cache and patches stay in place for later runs."""
    known: dict[str, Finished] = {}
    with pytest.MonkeyPatch.context() as patch:

        def run(slug: str) -> Finished:
            tiny = TINY[slug]
            if slug not in known:
                folder = tmp_path_factory.mktemp(slug)
                images, cache = folder / "images", folder / "cache"
                images.mkdir()
                patch.setenv("UNSHAKEN_CACHE", str(cache))
                for name, value in tiny.patches.items():
                    patch.setattr(name, value)
                for module in tiny.needs:
                    pytest.importorskip(module)
                text = f"{slug}:{tiny.parameters.format(folder=images)}"
                data, model = tiny.make(images), None if tiny.model is None else tiny.model(images)
                result = run_paper(text, out=folder / "run", data=data, model=model)
                known[slug] = Finished(text, data, model, folder / "run", cache, result)
            patch.setenv("UNSHAKEN_CACHE", str(known[slug].cache))
            return known[slug]

        yield run
