"""Steps with the weights of each seed: signatures extracted, chosen, added, and evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.progress import track
from unshaken.harden.surgery.surgery import (
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
from unshaken.papers.context import Context
from unshaken.papers.networks import Net, with_weights
from unshaken.papers.outcomes import accuracy_of
from unshaken_papers.robust_weight_signatures import ALLOWED, RobustWeightSignaturesPaper
from unshaken_papers.robust_weight_signatures.figures import chosen_trial
from unshaken_papers.robust_weight_signatures.nets import SHOWN, Images, Nets, changed, half_of
from unshaken_papers.robust_weight_signatures.verdict import RANDOM, SCALED

LAYERS, ALPHAS = (2, 4, 6), (0.25, 0.5, 0.75, 1.0)
LEVELS = 16
Weights = Mapping[str, Tensor]


def run(paper: RobustWeightSignaturesPaper, context: Context) -> None:
    """Do the same for each seed.

    Raises:
        ParameterError: a model is given; the experiment trains its own.
    """
    context.refuse_model(paper.model, "for your own weights there is `unshaken harden surgery`")
    for seed in context.seeds(paper.seeds):
        part = context.within(f"seed{seed}")
        images = Images.read(paper, context, seed)
        if not part.has("read", "weights"):
            Surgery(part, images, Nets(paper, part, images, seed)).run()


class Surgery:
    """The experiment of one seed.

    Args:
        context: with the seed as its prefix.
        images: of the seed.
        nets: trains its networks.
    """

    def __init__(self, context: Context, images: Images, nets: Nets) -> None:
        self.context, self.images, self.nets = context, images, nets
        self.seed = nets.seed
        self.robust: dict[str, Weights] = {}
        self.found: dict[str, Signature] = {}
        self.chosen: dict[str, Trial] = {}

    def run(self) -> None:
        """Write all rows; numbers read off weights come last, so that they say that all is there."""
        with track(f"signatures, seed {self.seed}", 3 + len(SHOWN)) as task:
            self.start = self.nets.pretrained()
            self.body = body_of(self.start.model.net)
            task.advance()
            self.tuned = self.nets.tuned("standard", self.start)
            self.base = weights_of(self.tuned)
            task.advance()
            for kind in SHOWN:
                self.robust[kind] = weights_of(self.nets.tuned(kind, self.start))
                self.found[kind] = self.signature(self.base, self.robust[kind], kind)
                self.chosen[kind] = self.choose(kind)
                self.one(kind)
                task.advance()
            self.beside_noise()
            self.together("noise", "blur")
            self.read_off(self.transfer())
            task.advance()

    def signature(self, base: Weights, robust: Weights, kind: str) -> Signature:
        """The signature of all layers but the classifier."""
        return Signature.extract(
            weights_of(self.start), base, robust, layers=self.body.layers, classifier=self.body.classifier,
            corruption=kind,
        )  # fmt: skip

    def choose(self, kind: str) -> Trial:
        """Layers and alpha by validation images, of the patch and of interpolation; the base where none is good."""
        if not self.context.has(f"{kind}.mixed", "trials"):
            clean = self.images.validation.batch()
            shown = changed(kind, clean, "validation", self.seed)

            def score(weights: Weights) -> tuple[float, float]:
                model = with_weights(self.tuned.model, weights)
                return accuracy_of(model, clean.images, clean.labels), accuracy_of(model, shown.images, shown.labels)

            whole = len(self.body.layers)
            layers = [min(k, whole) for k in LAYERS]
            tried = choose(self.base, self.found[kind], score, layers=layers, alphas=ALPHAS, most_lost=ALLOWED)
            mixed = [Trial(whole, a, *score(interpolate(self.base, self.robust[kind], a))) for a in ALPHAS]
            for label, others in ((kind, tried.trials), (f"{kind}.mixed", mixed)):
                own = {"images": len(clean)}
                rows = [{"id": f"{t.layers}-{t.alpha:g}", **own, **asdict(t)} for t in (tried.base, *others)]
                self.context.write("trials", label, rows)
        return chosen_trial(self.context.rows(), kind)

    def part(self, kind: str) -> tuple[Signature, float]:
        """The signature as chosen, and its alpha."""
        trial, whole = self.chosen[kind], self.found[kind]
        return (whole.first(trial.layers), trial.alpha) if trial.layers else (whole.first(1), 0.0)

    def one(self, kind: str) -> None:
        """Evaluate the base, the robust weights, the patch, and interpolation as it was chosen for itself."""
        signature, alpha = self.part(kind)
        mixed = chosen_trial(self.context.rows(), f"{kind}.mixed").alpha
        shown: dict[str, Weights] = {
            "base": self.base,
            "robust": self.robust[kind],
            "patched": signature.apply(self.base, alpha),
            "interpolated": interpolate(self.base, self.robust[kind], mixed),
        }
        for label, weights in shown.items():
            self.evaluate(f"{kind}.{label}", weights, ("clean", kind))

    def beside_noise(self) -> None:
        """Evaluate what the patch against noise is compared with: other patches, other alphas, and no patch again."""
        signature, alpha = self.part("noise")
        plain = Signature.extract(
            weights_of(self.start), self.base, self.robust["noise"], layers=self.body.layers,
            classifier=self.body.classifier, first=len(signature.meta.layers), projection="none",
        )  # fmt: skip
        draws = {f"random{i}": matched_noise(signature, 100 * self.seed + i) for i in range(RANDOM)}
        shown: dict[str, Weights] = {
            "quantised": signature.quantised(LEVELS).apply(self.base, alpha),
            "plain": plain.apply(self.base, alpha),
            "removed": signature.remove(signature.apply(self.base, alpha), alpha),
            **{f"scaled-{a:g}": signature.apply(self.base, a) for a in SCALED},
            **{label: draw.apply(self.base, alpha) for label, draw in draws.items()},
        }
        for label, weights in shown.items():
            self.evaluate(f"noise.{label}", weights, ("clean", "noise"))

    def together(self, one: str, two: str) -> None:
        """Evaluate two patches at once, each as chosen for itself."""
        parts = [self.part(kind) for kind in (one, two)]
        shown: dict[str, Weights] = {"both": patch(self.base, [p[0] for p in parts], [p[1] for p in parts])}
        for kind, (signature, alpha) in zip((one, two), parts, strict=True):
            shown[f"{kind}.alone"] = signature.apply(self.base, alpha)
        for label, weights in {**shown, "neither": self.base}.items():
            self.evaluate(label, weights, ("clean", one, two))

    def transfer(self) -> float:
        """Evaluate the signature of noise from the lower half of the classes on weights for the upper half.

        Returns:
            The cosine between the signatures of both halves, over all layers.
        """
        signature, alpha = self.part("noise")
        low, low_robust, high, high_robust = (
            self.nets.tuned(kind, self.start, half) for half in ("low", "high") for kind in ("standard", "noise")
        )
        of_low, of_high = (
            self.signature(weights_of(one), weights_of(two), "noise")
            for one, two in ((low, low_robust), (high, high_robust))
        )
        moved = of_low.first(len(signature.meta.layers))
        descent = [checksum(weights_of(self.start), self.body.classifier)]
        upper = half_of(self.images.test, "high").batch()
        base = weights_of(high)
        for label, weights in {
            "base": base,
            "robust": weights_of(high_robust),
            "patched": moved.apply(base, alpha, descent=descent),
            "random0": matched_noise(moved, 100 * self.seed).apply(base, alpha, descent=descent),
        }.items():
            self.evaluate(f"transfer.{label}", weights, ("clean", "noise"), high.model, upper)
        return of_low.cosine(of_high)

    def read_off(self, between_halves: float) -> None:
        """Write the numbers that need no image: relative changes of layers, sizes, cosines.

        Args:
            between_halves: see `transfer`.
        """
        noise, (signature, _) = self.found["noise"], self.part("noise")
        changes = relative_change(self.base, self.robust["noise"], self.body.layers)
        report, small = size_report(signature, self.base), size_report(signature.quantised(LEVELS), self.base)
        values = {f"change.{i + 1}": v for i, v in enumerate(changes)}
        values |= {"size.ratio": report.ratio, "size.quantised": small.stored_ratio}
        values |= {f"cosine.noise.{kind}": noise.cosine(s) for kind, s in self.found.items() if kind != "noise"}
        values["cosine.blur.contrast"] = self.found["blur"].cosine(self.found["contrast"])
        values["cosine.transfer"] = between_halves
        self.context.write("weights", "read", {"id": list(values), "value": list(values.values())})

    def evaluate(
        self, label: str, weights: Weights, kinds: tuple[str, ...], like: Classifier | None = None,
        batch: Batch | None = None,
    ) -> None:  # fmt: skip
        """Write predictions of weights on test images, clean and changed.

        Args:
            label: of the weights.
            weights: of a network.
            kinds: `clean`, or keys of `SHOWN`.
            like: a classifier of the same classes; default for all classes.
            batch: default all test images.
        """
        model = with_weights(self.tuned.model if like is None else like, weights)
        clean = self.images.test.batch() if batch is None else batch
        for kind in kinds:
            if not self.context.has(f"{label}.on-{kind}"):
                shown = clean if kind == "clean" else changed(kind, clean, "test", self.seed)
                self.context.predict(f"{label}.on-{kind}", model, shown, method=kind)


def weights_of(net: Net) -> Weights:
    """The state dict of a network."""
    weights: Weights = net.model.net.state_dict()
    return weights
