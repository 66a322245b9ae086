"""Answers at the end of a command's help: which eps, how many images, how long, and what a good result is.

The same paragraphs stand in `docs/choosing.md`.
"""

from __future__ import annotations

_IMAGES = (
    "How many images: 200 for a first impression (an accuracy is then known within 7 points), 1,000 to decide "
    "(3 points), 10,000 to publish (1 point)."
)
_EPS = (
    "Which eps: for linf 8/255 on small colour photos (CIFAR-10), 4/255 on large ones (ImageNet), 0.1 to 0.3 on grey "
    "digits and clothes; for l2 0.5 (CIFAR-10) or 3 (ImageNet). Pixels are between 0 and 1."
)

ADVICE: dict[str, tuple[str, ...]] = {
    "audit": (
        f"{_IMAGES} Use --limit.",
        "Which eps: the plan has one for each of its attacks; a YAML plan takes your own.",
        "How long: --plan quick takes about 80 passes of the model per image, 3 s for 200 images of the embedded "
        "demo on one core; --plan attacks takes about 700. Multiply by the time of one pass of your model.",
        "A good result: common corruptions cost less than 10 points, and under attack half of the clean accuracy is"
        " left. A model that was trained without adversarial examples falls to 0 %; that is normal, and no error.",
        "Example: unshaken audit --model torchvision:resnet18 --data folder:photos --limit 200 --gate "
        "'clean.accuracy >= 0.9'",
    ),
    "attack": (
        _EPS,
        _IMAGES,
        "How long: --method pgd takes at most 80 passes per image, 1 s for 50 images of the embedded demo on one "
        "core; --method auto at most 2,000.",
        "A good result: a model without adversarial training has 0 %; adversarially trained ones keep 45 to 75 % on"
        " CIFAR-10 at 8/255 and 35 to 60 % on ImageNet at 4/255. More than these is a reason to look for a mistake:"
        " confirm it with --method auto.",
        "Example: unshaken attack --model torchvision:resnet18 --data folder:photos --method auto --norm linf --eps"
        " 4/255 --limit 200",
    ),
    "certify": (
        "Which eps (radius): smoothing certifies l2 sizes of up to four times its sigma; 0.25 to 0.5 are usual on "
        "CIFAR-10, 0.5 to 1 on ImageNet. ibp and crown take eps in linf, such as 2/255.",
        "How many images: 100 for a first impression (10 points), 500 to publish, as is customary.",
        "How long: smoothing takes 1,000 to 100,000 passes per image; a minute for 50 images of the embedded demo "
        "on one core, half of it or more for the attack beside it (--not-attacked leaves it out).",
        "A good result: on CIFAR-10 60 % at l2 0.25 and 43 % at 0.5; on ImageNet 49 % at 0.5. A model that was not "
        "trained on noise has close to 0 %: train it by --method gaussian-augmented first.",
        "Example: unshaken certify --model run:runs/smoothed --data cifar10 --method "
        "smoothing-sequential:sigma=0.25 --radius 0.25 --limit 100",
    ),
    "detect": (
        "Which images: fit on normal images that the model was not trained on; score other normal images, with "
        "abnormal ones given by --against.",
        "How many images: 1,000 to fit and to set the threshold (with 100, the share accepted is known within 6 "
        "points); 200 of each kind to score.",
        "How long: msp, energy, knn and mahalanobis share one pass per image; odin takes 2 more, and ensembles tens.",
        "A good result: the AUROC is 0.5 by chance; above 0.9 on images of another kind (far), above 0.8 on "
        "similar classes (near). No detector withstands an attack on itself unless the page shows that it does.",
        "Example: unshaken detect fit --model torchvision:resnet18 --data folder:normal --method msp --method knn "
        "--out detectors",
    ),
    "harden": (
        f"{_EPS} Train with the eps that you will be attacked with; a larger one costs accuracy on unchanged images.",
        "How many images: thousands, and more than for plain training; on fewer start from pretrained weights, as "
        "--from does.",
        "How long: an epoch of trades or at takes about 11 times as long as plain training, n-fgsm and fgsm-rs 2 "
        "times, noise and augmix 1 to 3 times. --from RUN --dry-run prints the estimate first.",
        "A good result: the accuracy under attack rises by 30 points or more, and that of unchanged images falls by"
        " less than 10. If it falls further, halve eps, train longer, or add images.",
        "Example: unshaken harden --from runs/audit --dry-run",
    ),
}
"""Command to the paragraphs of its advice."""

EXAMPLES: dict[str, str] = {
    "detect": "Then: unshaken detect score --model torchvision:resnet18 --data folder:new --detectors detectors "
    "--against far=folder:other",
    "compare": "Example: unshaken compare runs/before runs/after --out runs/difference",
    "matrix": "Example: unshaken matrix models.yaml --out runs/models, where models.yaml has the keys models, data and "
    "plans, and options such as limit",
    "merge": "Example: unshaken audit --model demo:robust --data cifar10 --part 1/2 --out part-1, on another machine "
    "the same with --part 2/2 --out part-2; then unshaken merge part-1 part-2 --out whole",
    "transfer": "Example: unshaken transfer demo:standard demo:robust --data demo --limit 200 --out runs/transfer",
    "report": "Example: unshaken report runs/audit",
    "query": "Example: unshaken query runs/audit 'select condition, avg(correct::int) as accuracy from outcomes group "
    "by 1 order by 2' --csv",
}
"""Command to an example that follows its advice, or stands alone."""


FIRST: dict[str, tuple[str, ...]] = {
    "audit": ("model", "data", "plan", "limit", "out", "gate"),
    "attack": ("model", "data", "method", "norm", "eps", "limit"),
    "transfer": ("data", "method", "norm", "eps", "limit", "out"),
    "inspect": ("data", "check", "against", "model", "out", "gate"),
    "drift": ("reference", "data", "model", "limit", "out", "gate"),
    "certify": ("model", "data", "method", "radius", "limit", "out"),
    "explain": ("model", "data", "run", "metric", "limit", "out"),
    "evaluate": ("model", "data", "limit", "out", "gate", "device"),
    "map": ("train", "data", "model", "layer", "umap", "device"),
    "serve": ("port", "host", "readers", "allow-spec", "score", "detectors"),
    "detect fit": ("model", "data", "method", "out", "accept", "limit"),
    "detect score": ("model", "data", "detectors", "against", "limit", "out"),
    "detect threshold": ("detectors", "accept", "model", "data", "limit", "out"),
    "generate fit": ("data", "method", "steps", "conditional", "limit", "out"),
    "generate dataset": ("generator", "n", "classes", "filter-model", "device", "out"),
    "generate measure": ("real", "generated", "model", "held-out", "limit", "device"),
    "generate scaling": ("real", "generated", "test", "model", "sizes", "out"),
    "generate texture": ("photo", "size", "block", "model", "judge", "out"),
    "generate directions": ("generator", "data", "model", "k", "limit", "out"),
    "harden": ("from", "dry-run", "method", "model", "data", "out"),
    "labels train": ("data", "method", "model", "epochs", "limit", "out"),
    "labels review": ("items", "readers", "per-item", "blind", "port", "host"),
    "labels find": ("data", "method", "model", "review-size", "limit", "out"),
}
"""Command to the options that its --help shows; --help-all shows the others too."""


def epilog(command: str) -> str | None:
    """Advice and examples as the last part of a command's help; None for a command without.

    Args:
        command: its name, such as `audit`.
    """
    paragraphs = (*ADVICE.get(command, ()), EXAMPLES.get(command, ""))
    return "\n\n".join(filter(None, paragraphs)) or None
