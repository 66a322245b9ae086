"""Do detectors order samples as those of pytorch-ood do?

    python benchmarks/detection_parity.py

Printed: Spearman's rank correlation of the scores of both on the same samples, of every detector that both have, and
the reason where it is not 1. A small network (three convolutions, 48 pooled features) is trained here on the first 700
samples of the embedded demo; both sides are fitted on these, and score the other 300, as many pictures of uniform
noise and as many inverted ones. Both get the same logits and features, or the same images where a detector wants them.
Detectors that draw at random (dropout, ensembles), or want text, are left out. `fdbd`, `neco` and `residual`, which
pytorch-ood has not got, are held against their authors' equations in NumPy and scikit-learn.

Needs pytorch-ood 0.4 (and scikit-learn, for its KNN); a peer or a detector that is absent is shown as such.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from _peers import first_images, machine
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.covariance import EmpiricalCovariance
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from unshaken.core import Batch, Classifier, Oracle
from unshaken.core.classifier import evaluating
from unshaken.core.errors import ParameterError
from unshaken.core.registry import parse_method
from unshaken.detect import Detector
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.fit_data import FitData, Moments
from unshaken.detect.engine.screen import FittedDetector, forward_passes, run_queries, screen

TRAIN, TEST, CLASSES = 700, 300, 10
ONE = 0.99995
"""From here on a correlation is 1, up to ties that float32 makes."""


def block(before: int, after: int, stride: int) -> nn.Sequential:
    """A convolution with batch norm."""
    return nn.Sequential(nn.Conv2d(before, after, 3, stride, 1), nn.BatchNorm2d(after), nn.ReLU())


class Net(nn.Module):
    """Three blocks, their average, and a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(block(1, 16, 1), block(16, 32, 2), block(32, 48, 2))
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(48, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Images to logits."""
        logits: Tensor = self.head(self.pool(self.body(images)))
        return logits


@dataclass(frozen=True)
class Side:
    """Samples, and what the network says of them."""

    images: Tensor
    labels: Tensor
    features: Tensor
    logits: Tensor


@dataclass(frozen=True)
class Both:
    """The network, what both sides are fitted on, and what they score."""

    net: Net
    train: Side
    test: Side


def side(net: Net, images: Tensor, labels: Tensor) -> Side:
    """One pass."""
    with torch.no_grad():
        features = net.pool(net.body(images))
        return Side(images, labels, features, net.head(features))


def trained(images: Tensor, labels: Tensor) -> Net:
    """Twelve epochs."""
    torch.manual_seed(0)
    net = Net()
    descent = torch.optim.AdamW(net.parameters(), lr=5e-3)
    for _ in range(12):
        for some in torch.randperm(len(images)).split(50):
            descent.zero_grad()
            F.cross_entropy(net(images[some]), labels[some]).backward()
            descent.step()
    return net.eval().requires_grad_(False)


def ours(spec: str, both: Both) -> Tensor:
    """Scores of a detector of the house.

    Raises:
        ParameterError: there is no such detector.
    """
    method = parse_method(spec, "detect")
    assert isinstance(method, Detector)
    model = Classifier(both.net, name="small").eval()
    train = Batch(both.train.images, both.train.labels, tuple(f"train{i}" for i in range(len(both.train.labels))))
    test = Batch(both.test.images, None, tuple(f"test{i}" for i in range(len(both.test.images))))
    oracle, anatomy = Oracle(model, limit=len(train)), Anatomy.of(model, train.images)
    with evaluating(model):
        (look,) = forward_passes([method], anatomy, train, oracle)
        moments = {layer: Moments(CLASSES) for layer in method.moments(anatomy)}
        for layer, sums in moments.items():
            sums.add(look.pooled(layer), both.train.labels)
        rows = {**method.rows(look), "labels": both.train.labels}
        bank = run_queries(method.fit(FitData(anatomy, moments, rows, look, len(train))), oracle)
        return screen({"": FittedDetector(method, bank, torch.zeros(0))}, anatomy, test, oracle)[""].score


Array = NDArray[np.float64]
Peer = Callable[[ModuleType, Both], Tensor]


def on_logits(name: str, **options: Any) -> Peer:
    """A peer that reads logits."""

    def score(peers: ModuleType, both: Both) -> Tensor:
        detector = getattr(peers, name)(None, **options)
        if hasattr(detector, "fit_logits") and getattr(detector, "requires_fit", False):
            detector.fit_logits(both.train.logits, both.train.labels)
        found: Tensor = detector.predict_logits(both.test.logits)
        return found

    return score


def on_features(name: str, **options: Any) -> Peer:
    """A peer that reads features."""

    def score(peers: ModuleType, both: Both) -> Tensor:
        head = both.net.head
        extra: dict[str, Any] = {"w": head.weight, "b": head.bias} if name in ("ViM", "DICE") else {}
        extra |= {"head": head} if name in ("SHE", "NNGuide") else {}
        detector = getattr(peers, name)(None, **options, **extra)
        found: Tensor = detector.fit_features(both.train.features, both.train.labels).predict_features(
            both.test.features
        )
        return found

    return score


def on_maps(name: str, **options: Any) -> Peer:
    """A peer that reshapes maps; it gets pooled features as maps of one place."""

    def score(peers: ModuleType, both: Both) -> Tensor:
        head = nn.Sequential(nn.Flatten(), both.net.head)
        detector = getattr(peers, name)(None, head, **options)
        if getattr(detector, "requires_fit", False):
            detector.fit_feature_maps(both.train.features[:, :, None, None], both.train.labels)
        found: Tensor = detector.predict_feature_maps(both.test.features[:, :, None, None])
        return found

    return score


def rankfeat(peers: ModuleType, both: Both) -> Tensor:
    """The last block's maps."""
    detector = peers.RankFeat(both.net.body, nn.Sequential(both.net.pool, both.net.head))
    with torch.no_grad():
        found: Tensor = detector.predict(both.test.images)
    return found


def arrays(both: Both) -> tuple[Array, Array, Array]:
    """Features of the fit and of the test, and logits of the test, float64."""
    return both.train.features.double().numpy(), both.test.features.double().numpy(), both.test.logits.double().numpy()


def fdbd(peers: ModuleType, both: Both) -> Tensor:
    """Liu & Qin 2024, equations 5 and 6."""
    train, test, z = arrays(both)
    w = both.net.head.weight.double().numpy()
    away = np.linalg.norm(w[:, None] - w, axis=2)
    np.fill_diagonal(away, np.inf)
    best = z.argmax(1)
    distance = (np.abs(z - z.max(1, keepdims=True)) / away[best]).sum(1) / (CLASSES - 1)
    return torch.from_numpy(-distance / np.linalg.norm(test - train.mean(0), axis=1))


def neco(peers: ModuleType, both: Both) -> Tensor:
    """Ben Ammar et al. 2024: 10 directions, times the largest logit."""
    train, test, z = arrays(both)
    scaler = StandardScaler().fit(train)
    scaled, pca = scaler.transform(test), PCA().fit(scaler.transform(train))
    share = np.linalg.norm(pca.transform(scaled)[:, :10], axis=1) / np.linalg.norm(scaled, axis=1)
    return torch.from_numpy(-share * z.max(1))


def residual(peers: ModuleType, both: Both) -> Tensor:
    """Wang et al. 2022: outside 24 directions of the features around the head's origin."""
    train, test, _ = arrays(both)
    head = both.net.head
    u = -np.linalg.pinv(head.weight.double().numpy()) @ head.bias.double().numpy()
    values, vectors = np.linalg.eigh(EmpiricalCovariance(assume_centered=True).fit(train - u).covariance_)
    space = vectors[:, np.argsort(-values)[24:]]
    return torch.from_numpy(np.linalg.norm((test - u) @ space, axis=1))


def odin(peers: ModuleType, both: Both) -> Tensor:
    """In pixel units, as the network takes them."""
    found: Tensor = peers.ODIN(both.net, eps=0.0014, temperature=1000.0).predict(both.test.images)
    return found


def gradnorm(peers: ModuleType, both: Both) -> Tensor:
    """Of the head's weights."""
    detector = peers.GradNorm(both.net, param_filter=lambda name: name == "head.weight")
    found: Tensor = detector.to("cpu").predict(both.test.images)
    return found


def gram(alike: bool) -> Peer:
    """Powers 1 to 4 of the three blocks; `alike`: bounds of predicted classes, and nothing held out for scales."""

    def score(peers: ModuleType, both: Both) -> Tensor:
        torch.manual_seed(0)
        detector = peers.Gram(nn.Sequential(both.net.pool, both.net.head), list(both.net.body), CLASSES, [1, 2, 3, 4])
        labels = both.train.labels
        if alike:
            detector.validation_fraction, labels = 0.0, both.train.logits.argmax(1)
        found: Tensor = detector.to("cpu").fit([(both.train.images, labels)]).predict(both.test.images)
        return found

    return score


GRAM = "gram:layer=body.0+body.1+body.2,powers=1+2+3+4"
TIES = "float32 there, float64 here: next to probability 1 its scores are ties"
CASES: tuple[tuple[str, Peer, str], ...] = (
    ("msp", on_logits("MaxSoftmax"), TIES),
    ("max-logit", on_logits("MaxLogit"), ""),
    ("energy", on_logits("EnergyBased", t=1.0), ""),
    ("entropy", on_logits("Entropy"), "probabilities below 1e-7 count as 1e-7 there"),
    ("gen", on_logits("GEN", gamma=0.1, M=10), "probabilities within 1e-7 of 0 and 1 are cut there"),
    ("temperature-scaling", on_logits("TemperatureScaling"), "50 small steps there do not reach the best temperature"),
    ("kl-matching", on_logits("KLMatching"), TIES),
    ("vim:dimensions=24", on_features("ViM", d=24), ""),
    ("react:percentile=90", on_maps("ReAct", percentile=0.9), ""),
    ("ash:variant=p,percentile=65", on_maps("ASH", variant="ash-p", percentile=0.65), ""),
    ("ash:variant=b,percentile=65", on_maps("ASH", variant="ash-b", percentile=0.65), ""),
    ("ash:variant=s,percentile=65", on_maps("ASH", variant="ash-s", percentile=0.65), ""),
    ("scale:percentile=85", on_maps("SCALE", percentile=0.85), ""),
    ("dice:percentile=70", on_features("DICE", p=0.7), ""),
    ("she", on_features("SHE"), ""),
    ("nnguide:k=10", on_features("NNGuide", k=10), ""),
    ("rankfeat", rankfeat, ""),
    ("fdbd", fdbd, ""),
    ("neco:dimensions=10", neco, ""),
    ("residual:dimensions=24", residual, ""),
    ("knn:k=50", on_features("KNN", k=50), ""),
    (
        "mahalanobis",
        on_features("Mahalanobis"),
        "1e-6 is added to the scatter there: directions without variance count",
    ),
    ("relative-mahalanobis", on_features("RMD"), "1e-6 is added to both scatters there"),
    ("odin", odin, "float32 there: at T=1000 its scores are ties"),
    ("gradnorm", gradnorm, ""),
    (
        GRAM,
        gram(alike=False),
        "bounds by label and scales of a random tenth there, by prediction here: see the next row",
    ),
    (GRAM, gram(alike=True), ""),
)


def compared(spec: str, peer: Peer, reason: str, peers: ModuleType | None, both: Both) -> str:
    """One row of the table."""
    try:
        mine = ours(spec, both)
    except ParameterError as error:
        return f"| {spec} | absent: {error} | |"
    if peers is None:
        return f"| {spec} | absent: pip install pytorch-ood | |"
    try:
        theirs = peer(peers, both)
    except ImportError as error:
        return f"| {spec} | absent: {error} | |"
    rank = float(spearmanr(mine.numpy(), theirs.detach().double().cpu().numpy()).statistic)
    return f"| {spec} | {rank:.6f} | {'' if rank >= ONE else reason or 'none is known: look at it'} |"


def main() -> None:
    """Train, fit both sides, print the table."""
    warnings.simplefilter("ignore", DeprecationWarning)
    images, labels = first_images(TRAIN + TEST)
    net = trained(images[:TRAIN], labels[:TRAIN])
    noise = torch.rand(TEST, *images.shape[1:], generator=torch.Generator().manual_seed(1))
    tested = torch.cat([images[TRAIN:], noise, 1 - images[TRAIN:]])
    both = Both(net, side(net, images[:TRAIN], labels[:TRAIN]), side(net, tested, labels[TRAIN:].repeat(3)))
    try:
        peers = importlib.import_module("pytorch_ood.detector")
    except ModuleNotFoundError:
        peers = None
    right = (both.test.logits[:TEST].argmax(1) == labels[TRAIN:]).double().mean()
    print(f"{machine()}\n\n{len(tested)} samples scored; accuracy on the {TEST} normal ones {right:.1%}\n")
    print("| score | rank correlation | reason where it is not 1 |\n|---|---|---|")
    for case in CASES:
        print(compared(*case, peers, both), flush=True)


if __name__ == "__main__":
    main()
