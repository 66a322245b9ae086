"""Whether the interval of the share of wrong labels covers the truth: simulated networks, and data with known noise.

    python benchmarks/label_shares.py --simulate 400
    UNSHAKEN_DATA=DIR python benchmarks/label_shares.py --images 2500 [--only digits] [--network]

`--simulate N` draws N cases of networks (30 to 95 % right, from 2 to 100 classes; calibrated, over-confident, or with
confidences that err; all images, some classes or some images harder; classes that look alike; images that the network
cannot know) and noises (0 to 40 %: symmetric, to the next class, of every other class, of rates by class), and counts
how often the interval has the truth, with those that are called an estimate apart, and the share of right flags too.

Else: sets whose true labels are known, by the default of `unshaken labels find` (features of a frozen ImageNet network
for photos), by features of the embedded network for the demo, and by pixels for the digits. Of each: the truth, the
interval, the confident counts (cleanlab's estimate), and the precision among as many most suspect labels as are wrong,
with that of cleanlab's ranking of the same probabilities. `--network` adds a small network of three convolutions,
cross-validated on CIFAR-10 with 20 % of labels wrong.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from scipy import special

from unshaken import load_data, load_model
from unshaken.api.label_evidence import choose_epochs
from unshaken.data.resident import Samples
from unshaken.harden.engine.cross_validation import cross_validate
from unshaken.harden.engine.training import Training
from unshaken.labels import ConfidentLearning, Evidence, Probabilities
from unshaken.labels.engine.frozen import features_of
from unshaken.labels.engine.known_truth import judge_scores
from unshaken.labels.engine.out_of_sample import probe_probabilities, stratified_folds
from unshaken.labels.engine.wrong_share import estimate_wrong_share
from unshaken.measure.statistics.intervals import share
from unshaken.store.run_dir import RunDir

BACKBONE = "imagenet:efficientnet-lite0?size=128"
NOISES = ("cifar10n:aggre", "cifar10n:worse", "symmetric:0.2", "asymmetric:0.3", "none")


def transition(kind: str, classes: int, rate: float, rng: np.random.Generator) -> np.ndarray:
    """The probability of each given label of each true class, `[K, K]`."""
    to_next = np.roll(np.eye(classes), 1, 1)
    if kind == "symmetric":
        wrong, rates = (1 - np.eye(classes)) / (classes - 1), np.full(classes, rate)
    elif kind == "next":
        wrong, rates = to_next, np.full(classes, rate)
    elif kind == "every other":
        wrong, rates = to_next, rate * (np.arange(classes) % 2 == 0)
    else:  # rates and directions by class, with the right label the most frequent
        rates = np.clip(rng.uniform(0, 2 * rate, classes), 0, 0.48)
        wrong = rng.dirichlet(np.full(classes, 0.5), classes) * (1 - np.eye(classes))
        wrong /= np.maximum(wrong.sum(1, keepdims=True), 1e-9)
    return np.diag(1 - rates) + rates[:, None] * wrong


def simulate(case: tuple[object, ...], n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, given labels and true labels of a case."""
    classes, accuracy, kind, rate, hard, confidence = case
    assert isinstance(classes, int)
    assert isinstance(accuracy, float)
    assert isinstance(rate, float)
    true = rng.integers(classes, size=n)
    scale = np.ones(n)
    if hard in ("classes", "all"):
        scale *= np.exp(rng.normal(0, 0.3, classes))[true]
    if hard in ("images", "all"):
        scale *= np.exp(rng.normal(0, 0.6, n))
    if hard == "unknown images":
        scale *= rng.random(n) > 0.7 * (1 - accuracy)
    means = np.eye(classes)
    if classes > 2 and hard in ("alike", "all"):
        for i in range(0, classes - 1, 2):
            means[i, i + 1] = means[i + 1, i] = 0.6
    noise = rng.normal(size=(n, classes))

    def logits(skill: float) -> np.ndarray:
        found: np.ndarray = skill * ((skill * scale[:, None] * means[true] + noise) @ means.T)
        return found - 0.5 * skill**2 * (means @ means.T).diagonal()

    low, high = 0.0, 30.0
    for _ in range(12):
        skill = (low + high) / 2
        low, high = (skill, high) if (logits(skill).argmax(1) == true).mean() < accuracy else (low, skill)
    given_true = transition(str(kind), classes, rate, rng)
    given = (rng.random((n, 1)) > given_true[true].cumsum(1)).sum(1).clip(max=classes - 1)
    p = special.softmax(logits(high), 1)
    if confidence != "of the true labels":  # the network has learned the noise
        p = p @ given_true
    if confidence == "over-confident":
        p = p**3
    if confidence == "erring":
        p = np.maximum(p, 1e-12) ** 1.5 * np.exp(rng.normal(0, 0.7, p.shape))
    return p / p.sum(1, keepdims=True), given, true


def cases(rng: np.random.Generator) -> Iterator[tuple[object, ...]]:
    """Cases without an end."""
    while True:
        classes = int(rng.choice([2, 10, 100]))
        accuracy = float(rng.uniform(0.6 if classes == 2 else 0.3, 0.95))
        kind = str(rng.choice(["symmetric", "next", "every other", "by class"]))
        rate = 0.0 if rng.random() < 0.15 else float(rng.uniform(0.02, 0.4))
        hard = str(rng.choice(["none", "classes", "images", "alike", "unknown images", "all"]))
        confidence = str(rng.choice(["calibrated", "over-confident", "of the true labels", "erring"]))
        yield classes, accuracy, kind, rate, hard, confidence


def simulated(count: int) -> None:
    """The table of simulated cases."""
    rng = np.random.default_rng(0)
    rows = []
    for case, _ in zip(cases(rng), range(count), strict=False):
        n = int(rng.choice([500, 1000, 3000]))
        p, given, true = simulate(case, n, rng)
        evidence = Evidence(given, p.shape[1], Probabilities(p))
        found = estimate_wrong_share(evidence.summary(), given)
        wrong, flagged = given != true, ConfidentLearning().find(evidence).flagged
        assert flagged is not None
        right_flags = True
        if flagged.any():
            ends = found.expect_wrong(flagged)
            right_flags = ends[0] <= wrong[flagged].mean() <= ends[1]
        rows.append((
            found.agreement.value, found.is_usable, found.low <= wrong.mean() <= found.high,
            found.high - found.low, abs(evidence.confident().noise_rate - wrong.mean()), right_flags, wrong.mean(),
            found.low,
        ))  # fmt: skip
    table = np.array(rows, float)
    print("| simulated cases | number | estimates | interval has the truth | of the estimates | lower end / truth | "
          "right flags within | error of the confident counts |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    bounds = (0, 0.3, 0.5, 0.7, 0.85, 1.01)
    groups = [("all", np.ones(len(table), bool))]
    groups += [
        (f"agreement {a:.0%} to {min(b, 1):.0%}", (table[:, 0] >= a) & (table[:, 0] < b))
        for a, b in itertools.pairwise(bounds)
    ]
    for name, rows_of in groups:
        part = table[rows_of]
        if not len(part):
            continue
        usable = part[:, 1] == 1
        noisy = part[:, 6] > 0.02
        told = share(int(part[usable, 2].sum()), int(usable.sum())) if usable.any() else None
        cover = share(int(part[:, 2].sum()), len(part))
        ratio = np.median(part[noisy, 7] / part[noisy, 6]) if noisy.any() else np.nan
        flags = f"{part[usable, 5].mean():.1%}" if usable.any() else ""
        of_told = f"{told.value:.1%} ({told.low:.1%} to {told.high:.1%})" if told else ""
        print(f"| {name} | {len(part)} | {usable.sum()} | {cover.value:.1%} ({cover.low:.1%} to {cover.high:.1%}) | "
              f"{of_told} | {ratio:.2f} | {flags} | {part[:, 4].mean():.3f} |")  # fmt: skip


class Photos:
    """Images of CIFAR-10's training set, the same for all labels, and their frozen features."""

    def __init__(self, images: int) -> None:
        began = time.perf_counter()
        model = load_model(BACKBONE).eval()
        samples = Samples(load_data("cifar10?split=train"), model.view, 10, limit=images, sparse=True, hold=False)
        self.ids = [samples.dataset.ids[i] for i in samples.good]
        self.true = samples.labels[samples.good].numpy()
        self.features = features_of(model, samples, samples.good)
        print(f"{len(self.ids):,} photos: features in {time.perf_counter() - began:.0f} s\n", flush=True)

    def labels(self, noise: str) -> np.ndarray:
        """Given labels of the images."""
        if noise == "none":
            return self.true
        data = load_data(noise if noise.startswith("cifar10n") else f"cifar10?split=train&noise={noise}")
        place = {id: i for i, id in enumerate(data.ids)}
        found: np.ndarray = np.asarray(data.labels)[[place[id] for id in self.ids]]
        return found


def peer(given: np.ndarray, p: np.ndarray, wrong: np.ndarray) -> str:
    """Precision of cleanlab's ranking at the true number."""
    try:
        from cleanlab.rank import get_label_quality_scores
    except ImportError:
        return "absent"
    order = np.argsort(get_label_quality_scores(given, p, method="normalized_margin"), kind="stable")
    count = int(wrong.sum())
    return f"{wrong[order[:count]].mean():.3f}" if count else ""


def row(name: str, given: np.ndarray, true: np.ndarray, p: np.ndarray, seconds: float) -> None:
    """A line of the table."""
    classes, wrong = p.shape[1], given != true
    evidence = Evidence(given, classes, Probabilities(p))
    found = estimate_wrong_share(evidence.summary(), given)
    scores = ConfidentLearning().find(evidence)
    judged = judge_scores(scores, given, true)
    assert scores.flagged is not None
    low, high = found.expect_wrong(scores.flagged) if scores.flagged.any() else (0.0, 1.0)
    covers = "yes" if found.low <= wrong.mean() <= found.high else "NO"
    ends = f"{found.low:.1%} to {found.high:.1%}{'' if found.is_usable else ' (no estimate)'}"
    ours = f"{judged['precision_at_wrong'].value:.3f}" if "precision_at_wrong" in judged else ""
    flags = f"{wrong[scores.flagged].mean():.2f} ({low:.2f} to {high:.2f})" if scores.flagged.any() else ""
    print(f"| {name} | {len(given):,} | {(evidence.summary().best == true).mean():.1%} | {found.agreement.value:.1%} | "
          f"{wrong.mean():.1%} | {ends} | {covers} | {scores.figures['noise_rate']:.1%} | {flags} | {ours} | "
          f"{peer(given, p, wrong)} | {seconds:.0f} |", flush=True)  # fmt: skip


def network(data: str, images: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, given and true labels by cross-validated small networks, as `labels find` trains them."""
    samples = Samples(load_data(data), None, 10, limit=images)
    assert samples.resident is not None
    given, truth = samples.labels[samples.good].numpy(), samples.dataset.true_labels
    assert truth is not None
    fold = stratified_folds(given, 5)
    found = cross_validate(
        "small-cnn", samples.resident[samples.place[samples.good]], torch.from_numpy(given), fold,
        Training(epochs=choose_epochs(len(given), 5, None)), classes=10, device=torch.device("cpu"),
        run=RunDir(tempfile.mkdtemp()),
    )  # fmt: skip
    return found.probabilities.astype(float), given, truth[samples.good]


def probed(features: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Probabilities of a linear classifier of features."""
    return probe_probabilities(features, given, stratified_folds(given, 5), 10).astype(float)


def digits() -> None:
    """The digits of scikit-learn, by their pixels."""
    from sklearn.datasets import load_digits

    found = load_digits()
    for rate in (0.0, 0.1, 0.3):
        rng, began, true = np.random.default_rng(0), time.perf_counter(), found.target
        given = np.where(rng.random(len(true)) < rate, (true + rng.integers(1, 10, len(true))) % 10, true)
        row(f"digits, {rate:.0%} symmetric", given, true, probed(found.data, given), time.perf_counter() - began)


def demo() -> None:
    """The embedded images, by the features of an embedded network."""
    began, model = time.perf_counter(), load_model("demo:standard").eval()
    samples = Samples(load_data("demo?noise=symmetric:0.2"), model.view, 10, sparse=True)
    given, truth = samples.labels[samples.good].numpy(), samples.dataset.true_labels
    assert truth is not None
    p = probed(features_of(model, samples, samples.good), given)
    row("demo, 20% symmetric", given, truth[samples.good], p, time.perf_counter() - began)


def photos(images: int) -> None:
    """CIFAR-10 with people's labels and with flips."""
    data = Photos(images)
    for noise in NOISES:
        given, began = data.labels(noise), time.perf_counter()
        row(f"CIFAR-10, {noise}", given, data.true, probed(data.features, given), time.perf_counter() - began)


def trained(name: str, data: str, images: int | None) -> None:
    """A set by small networks."""
    began = time.perf_counter()
    p, given, true = network(data, images)
    row(name, given, true, p, time.perf_counter() - began)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulate", type=int, default=0, help="number of simulated cases")
    parser.add_argument("--images", type=int, default=2500, help="of CIFAR-10")
    parser.add_argument("--only", choices=["digits", "photos", "demo"], help="one of the sets")
    parser.add_argument("--network", action="store_true", help="a small network on CIFAR-10 too")
    chosen = parser.parse_args()
    if chosen.simulate:
        simulated(chosen.simulate)
        return
    print("| set | samples | model right | agreement | wrong labels | interval | has it | confident counts | "
          "right flags (expected) | precision at the true number | cleanlab | s |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    sets: dict[str, Callable[[], None]] = {
        "digits": digits,
        "demo": demo,
        "photos": lambda: photos(chosen.images),
    }
    for name, make in sets.items():
        if chosen.only in (None, name):
            make()
    if chosen.network:
        noisy = "cifar10?split=train&noise=symmetric:0.2"
        trained("CIFAR-10, symmetric:0.2, three convolutions", noisy, chosen.images)


if __name__ == "__main__":
    main()
