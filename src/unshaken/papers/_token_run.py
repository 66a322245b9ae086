"""What is measured of each continuation in the experiment with token attention, as rows."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import torch

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.oracle import Oracle
from unshaken.core.registry import parse_method
from unshaken.harden.recipes.architecture.tap import scale_shares
from unshaken.harden.recipes.losses.adl import (
    attention_diversification,
    attention_entropy,
    attention_stability,
    overfocus,
    surviving,
)
from unshaken.models.networks.attention import attention_maps
from unshaken.papers.base import Bench
from unshaken.run.rows import SCHEMAS, Condition, Part, outcomes

MEASURES = ("overfocus", "entropy", "stability", "adl", "surviving")
SCHEMAS["token_attention"] = pa.schema(
    [("id", pa.string()), ("condition", pa.string()), ("layer", pa.int32()), *((m, pa.float64()) for m in MEASURES)]
)
"""One row an image and a layer; `stability` is against the clean image."""
SCHEMAS["token_scales"] = pa.schema(
    [("condition", pa.string()), ("layer", pa.int32()), ("scale", pa.int32()), ("share", pa.float64())]
)
"""How much a layer takes of each pool."""

KINDS: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "noise": ("gaussian_noise:preset=cifar", (1, 3, 5)),
    "blur": ("gaussian_blur:preset=cifar", (1, 3, 5)),
    "contrast": ("contrast:preset=cifar", (1, 3, 5)),
}
"""Kind to a corruption and three severities."""
PIECE = 50


class Study:
    """Rows of one continuation.

    Args:
        bench: where they go.
        batch: test images.
        looked: images whose attention is looked at, the first of them.
        threshold: of the penalty.
    """

    def __init__(self, bench: Bench, batch: Batch, looked: int, threshold: float) -> None:
        self.bench, self.batch, self.looked, self.threshold = bench, batch, looked, threshold
        self.shown: dict[str, Batch] = {"clean": batch}
        for kind, (method, severities) in KINDS.items():
            stressor = parse_method(method, "stress")
            for severity in severities:
                self.shown[f"{kind}-{severity}"] = stressor.apply(batch, severity, bench.seed)

    def done(self, name: str) -> bool:
        """Whether all rows of a continuation are there."""
        return self.bench.run.has_rows("token_scales", name, 0)

    def run(self, name: str, model: Classifier) -> None:
        """Predictions under everything, attention, and the scales taken."""
        with evaluating(model):
            oracle = Oracle(model, limit=500)
            for label, batch in self.shown.items():
                condition = Condition(f"{name}.{label}", label.partition("-")[0])
                self.bench.keep([outcomes(condition, batch, oracle.exact(batch.images))], 0)
            for kind, (_, severities) in KINDS.items():
                self.attention(name, model, f"{kind}-{severities[-1]}")
        pooled = "tap" in name.rpartition(".")[2]
        shares = scale_shares(model, self.batch.images[: self.looked]) if pooled else torch.zeros(0, 0)
        places = [(i, j) for i in range(shares.shape[0]) for j in range(shares.shape[1])]
        columns = {
            "layer": [i for i, _ in places],
            "scale": [j for _, j in places],
            "share": shares.flatten().tolist(),
        }
        self.bench.keep([Part("token_scales", Condition(name, "tap"), columns)], 0)

    def attention(self, name: str, model: Classifier, label: str) -> None:
        """Measures of the attention on corrupted images, against that on the clean ones."""
        few = slice(0, self.looked)
        clean, changed = (self.shown[k][few] for k in ("clean", label))
        found: dict[str, list[torch.Tensor]] = {m: [] for m in MEASURES}
        for x, y in zip(torch.split(clean.images, PIECE), torch.split(changed.images, PIECE), strict=True):
            before, after = attention_maps(model, x), attention_maps(model, y)
            found["overfocus"].append(overfocus(before))
            found["entropy"].append(attention_entropy(before))
            found["stability"].append(attention_stability(before, after))
            found["adl"].append(
                torch.stack([attention_diversification(m, threshold=self.threshold, reduce=False) for m in before])
            )
            found["surviving"].append(surviving(before, threshold=self.threshold))
        whole = {m: torch.cat(parts, 1) for m, parts in found.items()}
        layers, n = whole["adl"].shape
        columns = {"id": list(clean.ids) * layers, "layer": [i for i in range(layers) for _ in range(n)]}
        values = {m: v.flatten().tolist() for m, v in whole.items()}
        self.bench.keep([Part("token_attention", Condition(f"{name}.{label}", "attention"), columns | values)], 0)
