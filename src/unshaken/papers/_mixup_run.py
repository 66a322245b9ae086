"""What is drawn, trained and kept as rows for the experiment with overlapping classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import DataError
from unshaken.core.oracle import Oracle
from unshaken.core.progress import track
from unshaken.data import load_data
from unshaken.data.resident import Samples
from unshaken.papers._mixup_nets import for_photos, mlp, trained
from unshaken.papers._overlap_data import OverlappingPairs, PairFlips, Points, TwoGaussians
from unshaken.papers.base import Bench
from unshaken.run.rows import SCHEMAS, Condition, Part, outcomes

POSTERIORS = pa.schema([("id", pa.string()), ("condition", pa.string()), ("posterior", pa.list_(pa.float64()))])
"""The true class probabilities of each test point."""
SCHEMAS["posteriors"] = POSTERIORS

NETS: Mapping[str, int] = {"erm": 1, "mixup": 2, "mixup4": 4}
"""Names to M, images in each mixture."""
CLASSES = (2, 10, 40, 100)
OVERLAPS = (0.2, 0.6)
SEPARATIONS = (4.34, 0.87, 0.17)
RATES = (0.0, 0.2, 0.4)
DIMS = 60
TEST = 2000


class Study:
    """Everything that is trained.

    Args:
        bench: where the rows go.
        settings: parameters of the row.
    """

    def __init__(self, bench: Bench, settings: Mapping[str, int]) -> None:
        self.bench, self.settings = bench, settings
        self.cached: list[bool] = []

    def run(self) -> None:
        """Put all rows that are not there yet."""
        seeds, photos = self.settings["seeds"], self.settings["photos"]
        images = Photos(self.bench, photos) if photos else None
        if images is not None:  # an architecture that does not exist is said before anything is trained
            for_photos(self.bench.model, images.images["train"][:8], images.classes, 0)
        self.bench.pin(model=self.bench.model, **self.settings, **({} if images is None else images.key))
        classes = [k for k in CLASSES if k <= self.settings["largest"]]
        first = seeds * self.bench.seed
        work = [(seed, k, rho) for seed in range(first, first + seeds) for k in classes for rho in OVERLAPS]
        with track("overlapping classes", len(work) + seeds * len(SEPARATIONS) + len(RATES)) as task:
            for seed, k, rho in work:
                self.pairs(seed, k, rho)
                task.advance()
            for seed in range(first, first + seeds):
                for separation in SEPARATIONS:
                    self.gaussians(seed, separation)
                    task.advance()
            for rate in RATES if images is not None else ():
                self.noisy(images, first, rate)  # type: ignore[arg-type]
                task.advance()

    def pairs(self, seed: int, k: int, rho: float) -> None:
        """`k` classes in pairs, a share rho of them in a cluster that both of a pair have."""
        rng = np.random.default_rng([seed, k, round(100 * rho)])
        world = OverlappingPairs(k, rho, rng)
        self.points(
            f"s{seed}.pairs-{k}-{rho:g}", world, rng, seed, 1500, 300, self.settings["epochs"], ("erm", "mixup")
        )

    def gaussians(self, seed: int, separation: float) -> None:
        """Two classes, closer and closer."""
        rng = np.random.default_rng([seed, round(100 * separation)])
        world = TwoGaussians(separation, DIMS)
        epochs = self.settings["gaussian_epochs"]
        self.points(f"s{seed}.gauss-{separation:g}", world, rng, seed, 1000, 200, epochs, tuple(NETS))

    def points(
        self,
        name: str,
        world: OverlappingPairs | TwoGaussians,
        rng: np.random.Generator,
        seed: int,
        train: int,
        held: int,
        epochs: int,
        nets: tuple[str, ...],
    ) -> None:
        """Networks on points whose posterior is known."""
        parts = {"train": world.draw(train, rng), "held": world.draw(held, rng), "test": world.draw(TEST, rng)}
        key = {"name": name, "world": type(world).__name__, "classes": world.classes, "train": train}
        for net in nets:
            if self.there(f"{name}.{net}"):
                continue
            model, found = trained(
                mlp(world.dims, world.classes, seed),
                parts["train"].images,
                parts["train"].labels,
                points=NETS[net],
                epochs=epochs,
                seed=seed,
                key=key,
            )
            self.cached.append(found)
            self.keep(f"{name}.{net}", model, {k: (p.images, p.labels) for k, p in parts.items()})
        self.posterior(name, parts["test"])

    def noisy(self, photos: Photos, seed: int, rate: float) -> None:
        """Photos whose training labels follow a fixed map with a probability; test labels clean and noisy."""
        rng = np.random.default_rng([seed, round(100 * rate), 7])
        flips = PairFlips(photos.classes, np.random.default_rng([seed, 11]))
        name = f"s{seed}.photos-{rate:g}"
        parts = photos.parts(seed)
        given = {k: (x, flips.flipped(y, rate, rng)) for k, (x, y) in parts.items()}
        given["clean"] = parts["test"]
        for net in ("erm", "mixup"):
            if self.there(f"{name}.{net}"):
                continue
            x, y = given["train"]
            model, found = trained(
                for_photos(self.bench.model, x, photos.classes, seed),
                x,
                y,
                points=NETS[net],
                epochs=self.settings["photo_epochs"],
                seed=seed,
                key={"name": name, "arch": self.bench.model, "classes": photos.classes, **photos.key, "n": len(x)},
            )
            self.cached.append(found)
            self.keep(f"{name}.{net}", model, given)

    def there(self, label: str) -> bool:
        """Whether the rows of a network are finished; those of the test set come last."""
        return self.bench.run.has_rows("outcomes", f"{label}.test", 0)

    def keep(self, label: str, model: Classifier, parts: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        """Rows with the logits of every part."""
        for split in sorted(parts, key=lambda s: s == "test"):
            images, labels = parts[split]
            batch = Batch(images.float() / 255, labels, tuple(str(i) for i in range(len(labels))))
            with evaluating(model):
                logits = Oracle(model, limit=500).exact(batch.images)
            self.bench.keep([outcomes(Condition(f"{label}.{split}", "clean"), batch, logits)], 0)

    def posterior(self, name: str, points: Points) -> None:
        """Rows with the truth."""
        if self.bench.run.has_rows("posteriors", name, 0):
            return
        ids = [str(i) for i in range(len(points.labels))]
        columns: dict[str, Any] = {"id": ids, "posterior": points.posterior.tolist()}
        self.bench.keep([Part("posteriors", Condition(name, "clean"), columns)], 0)


class Photos:
    """Images of a data set with the splits train and test.

    Args:
        bench: names it.
        count: training images.

    Raises:
        DataError: the data is absent, or has too few images.
    """

    def __init__(self, bench: Bench, count: int) -> None:
        self.count = count
        self.images: dict[str, Tensor] = {}
        self.labels: dict[str, Tensor] = {}
        self.key: dict[str, Any] = {"photos_of": []}
        joint = "&" if "?" in bench.data else "?"
        for split in ("train", "test"):
            data = load_data(f"{bench.data}{joint}split={split}", download=bench.download)
            samples = Samples(data, None, len(data.classes) or int(data.labels.max()) + 1)  # type: ignore[union-attr]
            if samples.resident is None:
                raise DataError(f"data {bench.data!r} does not fit into memory: name a smaller one, or photos=0")
            self.classes = samples.classes
            self.images[split], self.labels[split] = samples.resident, samples.labels[torch.from_numpy(samples.good)]
            self.key["photos_of"].append(data.fingerprint)

    def parts(self, seed: int) -> dict[str, tuple[Tensor, Tensor]]:
        """Images to train on, a tenth as many to fit temperatures on, and to test on, by seed."""
        rng = np.random.default_rng([seed, 13])
        order = rng.permutation(len(self.labels["train"]))
        held = order[self.count : self.count + max(1, self.count // 10)]
        if not len(held):
            raise DataError(f"photos={self.count} of {len(order)} training images leave none to fit a temperature on")
        rows = {"train": ("train", order[: self.count]), "held": ("train", held)}
        rows["test"] = ("test", rng.permutation(len(self.labels["test"]))[:TEST])
        return {k: (self.images[s][i], self.labels[s][i]) for k, (s, i) in rows.items()}
