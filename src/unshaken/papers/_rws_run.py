"""What is done with the weights of one seed of the experiment with signatures, as rows."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import torch
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.classifier import evaluating
from unshaken.core.oracle import required
from unshaken.core.progress import track
from unshaken.harden.surgery.surgery import (
    Body,
    Signature,
    Trial,
    body_of,
    checksum,
    choose,
    interpolate,
    matched_noise,
    patch,
    relative_change,
    size_report,
)
from unshaken.papers._rws_nets import SHOWN, Weights, World
from unshaken.papers.base import Bench
from unshaken.run.rows import SCHEMAS, Condition, Part, outcomes

SCHEMAS["trials"] = pa.schema(
    [
        ("id", pa.string()),
        ("condition", pa.string()),
        ("method", pa.string()),
        ("layers", pa.int32()),
        ("alpha", pa.float64()),
        ("clean", pa.float64()),
        ("robust", pa.float64()),
    ]
)
"""One row a patch that was tried on validation images, and one of no layers for the base."""
SCHEMAS["signatures"] = pa.schema(
    [
        ("id", pa.string()),
        ("condition", pa.string()),
        ("method", pa.string()),
        ("value", pa.float64()),
    ]
)
"""One row a number that is read off weights: relative changes of layers, cosines, sizes."""

LAYERS, ALPHAS = (2, 4, 6), (0.25, 0.5, 0.75, 1.0)
ALLOWED = 0.05
RANDOM = 3
LEVELS = 16


class Surgery:
    """The experiment of one seed.

    Args:
        bench: where the rows go.
        world: data and weights.
        wide: whether to do all of it, or noise alone.
    """

    def __init__(self, bench: Bench, world: World, wide: bool) -> None:
        self.bench, self.world, self.name = bench, world, f"seed{world.seed}"
        self.kinds = tuple(SHOWN) if wide else ("noise",)
        self.wide = wide
        self.body: Body = body_of(world.classifier(None).net)

    def run(self) -> None:
        """Put all rows."""
        if self.bench.run.has_rows("signatures", f"{self.name}.read", 0):
            return
        world = self.world
        with track(f"signatures, {self.name}", 2 + 2 * len(self.kinds)) as task:
            self.start = world.pretrained()
            self.base = world.tuned("standard", self.start)
            task.advance(2)
            self.robust, self.found, self.chosen = {}, {}, {}
            for kind in self.kinds:
                self.robust[kind] = world.tuned(kind, self.start)
                task.advance()
                self.found[kind] = self.signature(self.start, self.base, self.robust[kind], kind)
                self.chosen[kind] = self.choose(kind)
                self.one(kind)
                task.advance()
        if self.wide:
            self.together("noise", "blur")
            self.transfer()
        self.read_off()

    def signature(self, start: Weights, base: Weights, robust: Weights, kind: str) -> Signature:
        """Of all layers but the classifier."""
        body = self.body
        return Signature.extract(start, base, robust, layers=body.layers, classifier=body.classifier, corruption=kind)

    def choose(self, kind: str) -> Trial:
        """Layers and alpha by validation images; the base where no patch is good enough."""
        world, clean = self.world, self.world.validation
        changed = world.changed(kind, clean, "validation")

        def score(weights: Mapping[str, Tensor]) -> tuple[float, float]:
            return self.accuracy(dict(weights), clean), self.accuracy(dict(weights), changed)

        layers = [min(k, len(self.body.layers)) for k in LAYERS]
        found = choose(self.base, self.found[kind], score, layers=layers, alphas=ALPHAS, most_lost=ALLOWED)
        trials = [found.base, *found.trials]
        self.keep(
            "trials",
            kind,
            {
                "id": [f"{t.layers}-{t.alpha:g}" for t in trials],
                **{name: [getattr(t, name) for t in trials] for name in ("layers", "alpha", "clean", "robust")},
            },
        )
        return found.best or found.base

    def part(self, kind: str) -> tuple[Signature, float]:
        """The signature as chosen, and its alpha."""
        trial = self.chosen[kind]
        whole = self.found[kind]
        return (whole.first(trial.layers), trial.alpha) if trial.layers else (whole.first(1), 0.0)

    def one(self, kind: str) -> None:
        """The base, the robust weights, the patch, and what it is to be compared with."""
        signature, alpha = self.part(kind)
        kinds = ("clean", kind)
        self.look(f"{kind}.base", self.base, kinds)
        self.look(f"{kind}.robust", self.robust[kind], kinds)
        self.look(f"{kind}.patched", signature.apply(self.base, alpha), kinds)
        self.look(f"{kind}.interpolated", interpolate(self.base, self.robust[kind], alpha), kinds)
        if kind != "noise":
            return
        self.look(f"{kind}.quantised", signature.quantised(LEVELS).apply(self.base, alpha), kinds)
        plain = Signature.extract(
            self.start, self.base, self.robust[kind], layers=self.body.layers, classifier=self.body.classifier,
            first=len(signature.meta.layers), projection="none",
        )  # fmt: skip
        self.look(f"{kind}.plain", plain.apply(self.base, alpha), kinds)
        for draw in range(RANDOM):
            other = matched_noise(signature, 100 * self.world.seed + draw)
            self.look(f"{kind}.random{draw}", other.apply(self.base, alpha), kinds)

    def together(self, one: str, two: str) -> None:
        """Two patches at once, each as chosen for itself."""
        parts = [self.part(one), self.part(two)]
        both = patch(self.base, [p[0] for p in parts], [p[1] for p in parts])
        self.look("both", both, ("clean", one, two))
        for kind in (one, two):
            signature, alpha = self.part(kind)
            self.look(f"{kind}.alone", signature.apply(self.base, alpha), ("clean", one, two))
        self.look("neither", self.base, ("clean", one, two))

    def transfer(self) -> None:
        """The signature of noise from the lower half of the classes, on weights for the upper half."""
        world, (signature, alpha) = self.world, self.part("noise")
        low, low_robust = (world.tuned(kind, self.start, "low") for kind in ("standard", "noise"))
        high, high_robust = (world.tuned(kind, self.start, "high") for kind in ("standard", "noise"))
        moved = self.signature(self.start, low, low_robust, "noise").first(len(signature.meta.layers))
        own = self.signature(self.start, high, high_robust, "noise").first(len(signature.meta.layers))
        descent = [checksum(self.start, self.body.classifier)]
        batch = world.upper()
        for label, weights in {
            "base": high,
            "robust": high_robust,
            "patched": moved.apply(high, alpha, descent=descent),
            "random0": matched_noise(moved, 100 * world.seed).apply(high, alpha, descent=descent),
        }.items():
            self.look(f"transfer.{label}", weights, ("clean", "noise"), batch)
        self.cosines = {"transfer": moved.cosine(own)}

    def read_off(self) -> None:
        """Numbers that need no image; written last, so that they say that all is there."""
        noise, (signature, _) = self.found["noise"], self.part("noise")
        changes = relative_change(self.base, self.robust["noise"], self.body.layers)
        report, small = size_report(signature, self.base), size_report(signature.quantised(LEVELS), self.base)
        values = {f"change.{i + 1}": v for i, v in enumerate(changes)}
        values |= {"size.ratio": report.ratio, "size.quantised": small.stored_ratio}
        values |= {f"cosine.noise.{kind}": noise.cosine(s) for kind, s in self.found.items() if kind != "noise"}
        if "blur" in self.found:
            values["cosine.blur.contrast"] = self.found["blur"].cosine(self.found["contrast"])
        if self.wide:
            values |= {f"cosine.{name}": v for name, v in self.cosines.items()}
        values["from_cache"] = float(self.world.cached)
        self.keep("signatures", "read", {"id": list(values), "value": list(values.values())})

    def look(self, label: str, weights: Weights, kinds: tuple[str, ...], batch: Batch | None = None) -> None:
        """Predictions of weights on test images, clean and changed."""
        clean = self.world.test if batch is None else batch
        for kind in kinds:
            shown = clean if kind == "clean" else self.world.changed(kind, clean, "test")
            condition = Condition(f"{self.name}.{label}.on-{kind}", kind)
            self.bench.keep([outcomes(condition, shown, self.logits(weights, shown))], 0)

    def accuracy(self, weights: Weights, batch: Batch) -> float:
        """The share of right predictions."""
        return float((self.logits(weights, batch).argmax(1) == required(batch.labels)).double().mean())

    def logits(self, weights: Weights, batch: Batch) -> Tensor:
        """Of weights, in float32."""
        model = self.world.classifier(weights, weights[self.body.classifier[0]].shape[0])
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        with evaluating(model), torch.no_grad():
            return torch.cat([model(x) for x in torch.split(batch.images, 500)])

    def keep(self, table: str, label: str, columns: dict[str, object]) -> None:
        """Rows of a table of this experiment."""
        self.bench.keep([Part(table, Condition(f"{self.name}.{label}", "signatures"), columns)], 0)
