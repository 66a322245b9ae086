"""How robust are BM25 and MiniLM on WordNet's examples over the five tasks, and rankings of photos under changes?

    python benchmarks/rankers.py
    python benchmarks/rankers.py --tested 20 --learned 40 --documents 1000 --track texts

Texts: the query is an example sentence of a meaning, its document the meaning's words and definition; RR@100, intervals
over queries. MiniLM is tested as it is and with a linear layer learned from training queries, for the tasks of unseen
types of queries and of another corpus, in which the others lose nothing because they learn nothing. Photos: CIFAR-10,
a photo of the query's class is relevant; AP of pixels, HOG and EfficientNet-Lite0's features, under five corruptions
of the query and under PGD.

Needs Debian's `wordnet-base` and the extras `ranking`, `models`, `imagenet` and `explain`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from _peers import first_images, machine
from torch import Tensor, nn

from unshaken import load_model
from unshaken.attack.gradient.pgd import PGD
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.registry import find_method
from unshaken.measure import Figure
from unshaken.tasks.ranking import (
    BM25,
    Changes,
    DenseRanker,
    EncoderMemory,
    TwoTower,
    attack_queries,
    evaluate,
    image_vectors,
    load_encoder,
    measure_queries,
    rank_images,
    read_wordnet,
    same_class,
)
from unshaken.tasks.ranking.evaluate import drop_figure
from unshaken_papers.features_off_the_shelf.experiment import hog_features
from unshaken_papers.ranking_robustness import RankingRobustnessPaper
from unshaken_papers.ranking_robustness.experiment import draw_test

CHANGES = Changes(queries=[("swap", 1), ("swap", 2)], documents=[("append", 1), ("append", 3)])
CORRUPTIONS = ("gaussian_noise", "motion_blur", "fog", "contrast", "jpeg_compression")
SIDE = 96
"""Pixels at which EfficientNet-Lite0 sees photos of 32."""


def shown(figure: Figure | None, *, percent: bool = False) -> str:
    """A figure with its interval."""
    if figure is None:
        return "–"
    scale, digits = (100, 0) if percent else (1, 1 if abs(figure.value) >= 10 else 3)
    return f"{scale * figure.value:.{digits}f} ({scale * figure.low:.{digits}f} to {scale * figure.high:.{digits}f})"


def texts(options: argparse.Namespace) -> None:
    """The table of the text track."""
    began = time.process_time()
    paper = RankingRobustnessPaper(tested=options.tested, learned=options.learned, documents=options.documents)
    test = draw_test(paper, read_wordnet(), options.seed, options.seed)
    encode = EncoderMemory(load_encoder("minilm"))
    rankers = {"bm25": BM25(), "minilm": DenseRanker(encode), "minilm-learned": TwoTower(encode)}
    report = evaluate(rankers, test, measure="RR@100", changes=CHANGES, seed=options.seed)
    figures = report.figures()
    print(f"\n{4 * options.tested} queries, {len(test.collection.documents):,} documents\n")
    print("| | " + " | ".join(rankers) + " |\n|---|" + "---|" * len(rankers))

    def line(title: str, cell: Callable[[dict[str, Any]], str]) -> None:
        print(f"| {title} | " + " | ".join(cell(figures[name]) for name in rankers) + " |")

    line("RR@100", lambda f: shown(f["mean"]))
    line("variance: deviation over mean", lambda f: shown(f["variation"]))
    for title, key in (
        ("query type: change on an unseen type, %", "type-unseen"),
        ("corpus: change, %", "corpus-unseen"),
    ):
        line(title, lambda f, key=key: shown(f["drop"].get(key), percent=True))
    for key in ("swap-1", "swap-2"):
        line(f"query: change by {key}, %", lambda f, key=key: shown(f["drop"][key], percent=True))
    for key in ("append-1", "append-3"):
        line(f"document: places gained by {key}", lambda f, key=key: shown(f[key]["gain"]))
        title = f"document: another one is first after {key}, %"
        line(title, lambda f, key=key: shown(f[key]["first_changed"], percent=True))
    pairs = report.comparisons().items()
    print("\n" + "; ".join(f"{b} less {a}: {shown(c['difference'])}, p = {c['p_holm']:.2g}" for (a, b), c in pairs))
    print(f"\n{time.process_time() - began:.0f} s of processor time")


class Enlarged(nn.Module):
    """A network that sees photos enlarged."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Images `[N, 3, 32, 32]` in [0, 1] to logits."""
        large = nn.functional.interpolate(images, (SIDE, SIDE), mode="bicubic", align_corners=False, antialias=True)
        return self.model(large.clamp(0, 1))


def photos(options: argparse.Namespace) -> None:
    """The table of the image track."""
    began = time.process_time()
    images, labels = first_images(options.queries + options.gallery, "cifar10?split=test")
    ids = [f"photo{i}" for i in range(len(images))]
    n = options.queries
    queries, gallery = Batch(images[:n], labels[:n], tuple(ids[:n])), images[n:]
    qrels = same_class(ids[:n], labels[:n].tolist(), ids[n:], labels[n:].tolist())
    lite = Classifier(Enlarged(load_model("imagenet:efficientnet-lite0"))).eval()
    layer = next(name for name, m in lite.net.named_modules() if isinstance(m, nn.Linear)) + ":in"
    pixels = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2))).eval()

    def centred(model: Classifier, layer: str) -> Callable[[Tensor], Tensor]:
        return lambda shown: image_vectors(model, shown, layer, batch=64)

    def hog(shown: Tensor) -> Tensor:
        found = torch.from_numpy(hog_features((shown * 255).round().byte())).float()
        return nn.functional.normalize(found, dim=1)

    rankers = {
        "pixels": (centred(pixels, "0"), (pixels, "0")),
        "HOG": (hog, None),
        "EfficientNet-Lite0": (centred(lite, layer), (lite, layer)),
    }
    columns: dict[str, list[str]] = {}
    for name, (vectors, attacked) in rankers.items():
        there = vectors(gallery)

        def precision(shown: Tensor, vectors=vectors, there=there) -> np.ndarray:
            rankings = rank_images(vectors(shown), there, ids[:n], ids[n:], depth=len(there))
            return np.array(list(measure_queries(rankings, qrels, ["AP"])["AP"].values()))

        clean = precision(queries.images)
        cells = [f"{clean.mean():.3f}", f"{clean.std() / clean.mean():.2f}"]
        for corruption in CORRUPTIONS:
            changed = find_method(corruption, "stress").cls().apply(queries, 3, options.seed)
            cells.append(shown(drop_figure(clean, precision(changed.images)), percent=True))
        if attacked is None:
            cells.append("no gradient")
        else:
            attack = PGD(steps=options.steps, rel_stepsize=2.5 / options.steps)
            found = attack_queries(attacked[0], queries, gallery, labels[n:], attacked[1], attack, eps=options.eps)
            cells.append(shown(drop_figure(clean, precision(found)), percent=True))
        columns[name] = cells
    titles: Sequence[str] = (
        "AP",
        "variance: deviation over mean",
        *(f"query: change by {name.replace('_', ' ')}, severity 3, %" for name in CORRUPTIONS),
        f"query: change by PGD-{options.steps} at {round(255 * options.eps)}/255, %",
    )
    print(f"\n{n} queries, a gallery of {options.gallery:,}\n")
    print("| | " + " | ".join(rankers) + " |\n|---|" + "---|" * len(rankers))
    for title, row in zip(titles, zip(*columns.values(), strict=True), strict=True):
        print(f"| {title} | " + " | ".join(row) + " |")
    print(f"\n{time.process_time() - began:.0f} s of processor time")


def main() -> None:
    """Read the options and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--track", choices=("texts", "photos", "both"), default="both")
    parser.add_argument("--tested", type=int, default=50, help="test queries of each part of speech")
    parser.add_argument("--learned", type=int, default=100, help="training queries of each part of speech")
    parser.add_argument("--documents", type=int, default=2000, help="of each corpus")
    parser.add_argument("--queries", type=int, default=100, help="photos that ask")
    parser.add_argument("--gallery", type=int, default=1000, help="photos that are ranked")
    parser.add_argument("--steps", type=int, default=10, help="of PGD")
    parser.add_argument("--eps", type=float, default=8 / 255, help="radius of PGD")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(machine())
    if options.track in ("texts", "both"):
        texts(options)
    if options.track in ("photos", "both"):
        photos(options)


if __name__ == "__main__":
    main()
