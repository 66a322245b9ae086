"""Mahalanobis distances and Gaussians of features against hand-made numbers, scikit-learn and scipy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.covariance import EmpiricalCovariance, LedoitWolf, ShrunkCovariance
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from unshaken.core import Batch, Classifier
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.oracle import Oracle
from unshaken.core.query import Gradient
from unshaken.core.rng import SampleRng
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.fit_data import FitData, Moments
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.engine.layerwise import fgsm_examples
from unshaken.detect.engine.screen import forward_passes, run_queries
from unshaken.detect.scores.mahalanobis import (
    Mahalanobis,
    class_gaussian,
    eigen,
    ledoit_wolf,
    shrunk,
    squared_distances,
    whitening,
)

CROSS = torch.tensor([[1.0, 0], [-1, 0], [0, 2], [0, -2]])
FEATURES = torch.cat([CROSS, CROSS + torch.tensor([4.0, 0])])
LABELS = torch.tensor([0] * 4 + [1] * 4)
POINTS = torch.tensor([[0.0, 0], [2, 0], [4, 4], [1, 1]])


def moments(features: Tensor, labels: Tensor, classes: int = 2) -> Moments:
    found = Moments(classes)
    for part in torch.arange(len(features)).split(3):
        found.add(features[part], labels[part])
    return found


def fit_data(anatomy: Anatomy, features: Tensor, labels: Tensor, tune: ForwardPass | None = None) -> FitData:
    names = ("stem", "head:in")
    rows = {**{f"pooled/{n}": features for n in names}, "labels": labels}
    return FitData(anatomy, {n: moments(features, labels, anatomy.classes) for n in names}, rows, tune, len(features))


def forward(anatomy: Anatomy, features: Tensor, layer: str = "head:in") -> ForwardPass:
    return ForwardPass(anatomy, torch.zeros(len(features), anatomy.classes), {layer: features})


def clouds(n: int, d: int, classes: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    mix = torch.randn(d, d, generator=rng, dtype=torch.float64)
    labels = torch.arange(n) % classes
    means = 3 * torch.randn(classes, d, generator=rng, dtype=torch.float64)
    return torch.randn(n, d, generator=rng, dtype=torch.float64) @ mix + means[labels], labels


def test_distances_of_the_cross(anatomy):
    bank = class_gaussian(moments(FEATURES, LABELS))
    within = moments(FEATURES, LABELS).within()
    assert within.numpy() == pytest.approx(np.diag([0.5, 2]))
    distances = squared_distances(POINTS, bank["whiten"], bank["origin"], bank["centres"])
    assert distances.numpy() == pytest.approx(np.array([[0, 32], [8, 8], [40, 8], [2.5, 18.5]]), abs=1e-12)
    method = Mahalanobis()
    fitted = method.layer_bank(fit_data(anatomy, FEATURES, LABELS))
    assert method.score(forward(anatomy, POINTS), fitted).numpy() == pytest.approx([0, 8, 8, 2.5], abs=1e-12)


class Pixels(nn.Module):
    """The two pixels are the features."""

    def __init__(self) -> None:
        super().__init__()
        self.flat, self.head = nn.Flatten(), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.flat(x))


@pytest.fixture
def pixels() -> Classifier:
    torch.manual_seed(0)
    return Classifier(Pixels(), name="pixels").eval()


def examined(method: Mahalanobis, images: Tensor, model: Classifier, known: FitData) -> Tensor:
    oracle = Oracle(model)
    bank = run_queries(method.fit(known), oracle)
    answer = model.features(images, method.layers(known.anatomy))
    seen = ForwardPass(known.anatomy, answer[0].detach(), {k: v.detach() for k, v in answer[1].items()}, images)
    return run_queries(method.score(seen, bank), oracle)


def test_the_step_goes_towards_the_nearest_class(pixels):
    known = fit_data(Anatomy("pixels", 2, "head", ("flat",)), FEATURES, LABELS)
    image = torch.ones(1, 2, 1, 1)
    assert examined(Mahalanobis(), image, pixels, known).tolist() == pytest.approx([2.5], abs=1e-6)
    assert examined(Mahalanobis(eps=0.1), image, pixels, known).tolist() == pytest.approx([2 * 1.0125], abs=1e-6)


def test_a_gradient_of_zero_counts_as_positive_and_nothing_is_clipped(pixels):
    known = fit_data(Anatomy("pixels", 2, "head", ("flat",)), FEATURES, LABELS)
    at_the_mean = examined(Mahalanobis(eps=0.1), torch.zeros(1, 2, 1, 1), pixels, known)  # x' = (-0.1, -0.1)
    assert at_the_mean.tolist() == pytest.approx([2 * 0.01 + 0.5 * 0.01], abs=1e-6)


def test_a_small_step_never_raises_the_distance_to_first_order(pixels):
    known = fit_data(Anatomy("pixels", 2, "head", ("flat",)), FEATURES, LABELS)
    images = torch.rand(50, 2, 1, 1, generator=torch.Generator().manual_seed(1))
    eps = 1e-3
    before = examined(Mahalanobis(), images, pixels, known)
    after = examined(Mahalanobis(eps=eps), images, pixels, known)
    second_order = 2.5 * eps**2  # half of the trace of the Hessian diag(4, 1)
    assert bool((after <= before + second_order + 1e-6).all())
    assert bool((after < before - eps / 2).any())


def test_a_step_has_no_score_from_one_pass(pixels):
    known = fit_data(Anatomy("pixels", 2, "head", ("flat",)), FEATURES, LABELS)
    method = Mahalanobis(eps=0.1)
    bank = run_queries(method.fit(known), Oracle(pixels))
    one = ForwardPass(known.anatomy, torch.zeros(4, 2), {"head:in": POINTS}, POINTS.view(4, 2, 1, 1))
    assert isinstance(next(method.score(one, bank)), Gradient)


def test_ledoit_wolf_and_shrinkage_agree_with_scikit_learn(anatomy):
    features, labels = clouds(40, 6, classes=2)
    means = torch.stack([features[labels == c].mean(0) for c in range(2)])
    away = features - means[labels]
    reference = LedoitWolf(assume_centered=True).fit(away.numpy())
    sums = moments(features, labels)
    variances, directions = eigen(sums, "within")
    share = ledoit_wolf(variances, away.square().sum(1).square().mean(), sums.n)
    assert share.item() == pytest.approx(reference.shrinkage_, rel=1e-9)
    shrink = lambda s: (directions * shrunk(variances, s)) @ directions.T  # noqa: E731
    assert shrink(share).numpy() == pytest.approx(reference.covariance_, rel=1e-9)
    ridge = ShrunkCovariance(assume_centered=True, shrinkage=0.3).fit(away.numpy())
    assert shrink(0.3).numpy() == pytest.approx(ridge.covariance_, rel=1e-9)
    method = Mahalanobis(shrinkage="ledoit-wolf")
    bank = method.layer_bank(fit_data(anatomy, features, labels))
    away = (features[:, None] - means).numpy()
    d2 = np.einsum("nki,ij,nkj->nk", away, reference.precision_, away).min(1)
    assert method.score(forward(anatomy, features), bank).numpy() == pytest.approx(d2, rel=1e-9)


def test_a_covariance_of_each_class(anatomy):
    rng = torch.Generator().manual_seed(0)
    features = torch.randn(300, 3, generator=rng, dtype=torch.float64)
    labels = torch.arange(300) % 2
    features[labels == 1] = features[labels == 1] * torch.tensor([5.0, 1, 0.2]).double() + 2
    method = Mahalanobis(covariance="class")
    bank = method.layer_bank(fit_data(anatomy, features, labels))
    by_class = []
    for c in range(2):
        own = features[labels == c].numpy()
        by_class.append(EmpiricalCovariance().fit(own).mahalanobis(features.numpy()))
    assert method.score(forward(anatomy, features), bank).numpy() == pytest.approx(np.min(by_class, 0), rel=1e-6)
    tied = Mahalanobis(covariance="class", shrinkage=1)
    same = tied.score(forward(anatomy, features), tied.layer_bank(fit_data(anatomy, features, labels)))
    plain = Mahalanobis().score(
        forward(anatomy, features), Mahalanobis().layer_bank(fit_data(anatomy, features, labels))
    )
    assert same.numpy() == pytest.approx(plain.numpy(), rel=1e-6)


def two_layers(pixels: Classifier) -> tuple[Anatomy, FitData]:
    rng = torch.Generator().manual_seed(4)
    anatomy = Anatomy("pixels", 2, "head", ("flat",))
    images = torch.rand(200, 2, 1, 1, generator=rng)
    labels = pixels(images).argmax(1)
    features = images.flatten(1)
    batch = Batch(images[:60], labels[:60], tuple(str(i) for i in range(60)))
    method = Mahalanobis(layer="stages")
    tune = next(iter(forward_passes([method], anatomy, batch, Oracle(pixels))))
    sums = {n: moments(features, labels) for n in ("flat", "head:in")}
    return anatomy, FitData(anatomy, sums, {}, tune, 200)


def test_equal_weights_are_a_sum_of_standardised_scores(pixels):
    anatomy, known = two_layers(pixels)
    method = Mahalanobis(layer="stages")
    assert method.layers(anatomy) == ("flat", "head:in")
    bank = run_queries(method.fit(known), Oracle(pixels))
    each = method.layer_scores(known.held_out, bank)
    assert method.score(known.held_out, bank).numpy() == pytest.approx(
        ((each - each.mean(0)) / each.std(0, correction=0)).sum(1).numpy(), abs=1e-9
    )


def test_weights_learned_from_fgsm_examples_are_those_of_logistic_regression(pixels):
    _, known = two_layers(pixels)
    method = Mahalanobis(layer="stages", weights="fgsm", fgsm_eps=0.3)
    oracle = Oracle(pixels)
    bank = run_queries(method.fit(known), oracle)
    sorts = run_queries(fgsm_examples(known.held_out, ("flat", "head:in"), 0.3, "mahalanobis"), oracle)
    clean, noisy, moved = sorts
    labels = clean.labels
    assert bool((clean.predictions == labels).all() & (noisy.predictions == labels).all())
    assert bool((moved.predictions != labels).all())
    assert (moved.pixels - clean.pixels).abs().max().item() <= 0.3 + 1e-6
    each = method.layer_scores(known.held_out, bank)
    mean, deviation = each.mean(0), each.std(0, correction=0)
    x = torch.cat([(method.layer_scores(s, bank) - mean) / deviation for s in sorts]).numpy()
    y = np.arange(len(x)) >= 2 * len(clean)
    reference = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(x, y)
    assert (bank["weights"] * deviation).numpy() == pytest.approx(reference.coef_[0], abs=1e-5)


def test_noise_of_fgsm_examples_hangs_on_the_sample_alone(pixels):
    _, known = two_layers(pixels)
    ids = [str(i) for i in range(60)]
    whole = replace(known.held_out, rng=SampleRng.of(0, "detect", ids))
    found = run_queries(fgsm_examples(whole, ("flat",), 0.3, "x"), Oracle(pixels, limit=60))[1].pixels
    pieces = run_queries(fgsm_examples(whole, ("flat",), 0.3, "x"), Oracle(pixels, limit=7))[1].pixels
    assert torch.equal(found, pieces)


def test_bad_input_is_one_clear_line(anatomy):
    with pytest.raises(DataError, match="constant"):
        class_gaussian(moments(torch.ones(8, 3), LABELS))
    with pytest.raises(DataError, match="class 0 has 4 samples"):
        Mahalanobis(covariance="class").layer_bank(fit_data(anatomy, clouds(8, 6, 2)[0], torch.arange(8) % 2))
    own = Mahalanobis(covariance="class")
    with pytest.raises(DataError, match="class 0 has 2 samples for a covariance in 2 directions"):
        own.layer_bank(fit_data(anatomy, *clouds(4, 2, 2)))
    assert own.layer_bank(fit_data(anatomy, *clouds(6, 2, 2)))["0.classes"].shape == (2, 2, 2)
    with pytest.raises(ParameterError, match="ledoit-wolf"):
        Mahalanobis(covariance="class", shrinkage="ledoit-wolf").layer_bank(fit_data(anatomy, FEATURES, LABELS))
    with pytest.raises(ParameterError, match="shrinkage"):
        Mahalanobis(shrinkage=1.5)


def test_covariances_of_many_classes_are_refused_where_they_take_too_much(anatomy, monkeypatch):
    features = fit_data(anatomy, *clouds(30, 2, 2))
    monkeypatch.setattr("unshaken.detect.scores.mahalanobis.LARGEST", 2 * 2 * 2)
    Mahalanobis(covariance="class").layer_bank(features)
    monkeypatch.setattr("unshaken.detect.scores.mahalanobis.LARGEST", 2 * 2 * 2 - 1)
    with pytest.raises(DataError, match="2 covariances of 2 x 2 take more than 1 GiB"):
        Mahalanobis(covariance="class").layer_bank(features)


def test_text_of_the_command_line():
    method = Mahalanobis.from_text({"layer": "stem+body", "eps": "1/255", "shrinkage": "0.1", "weights": "fgsm"})
    assert (method.shrinkage, method.eps) == (0.1, 1 / 255)
    assert Mahalanobis.from_text({"shrinkage": "ledoit-wolf"}).shrinkage == "ledoit-wolf"
    assert method.layers(Anatomy("toy", 2, "head", ())) == ("stem", "body")


def test_absent_classes_are_left_out(anatomy):
    three = replace(anatomy, classes=3)
    sums = {"head:in": moments(FEATURES, LABELS * 2, 3)}  # classes 0 and 2
    bank = Mahalanobis().layer_bank(FitData(three, sums))
    assert len(bank["0.centres"]) == 2
    assert bool(Mahalanobis().score(forward(three, POINTS), bank).isfinite().all())
    assert Mahalanobis().nearest(forward(three, POINTS[[0, 2]]), bank).tolist() == [[0], [2]]


def test_posterior_of_the_linear_head_made_of_the_gaussians():
    bank = class_gaussian(moments(FEATURES, LABELS))
    distances = squared_distances(POINTS, bank["whiten"], bank["origin"], bank["centres"])
    mu, precision = torch.tensor([[0.0, 0], [4, 0]]).double(), torch.diag(torch.tensor([2.0, 0.5])).double()
    logits = POINTS.double() @ (mu @ precision).T - 0.5 * (mu @ precision * mu).sum(1)
    posterior = torch.softmax(-0.5 * distances, 1)
    assert posterior.numpy() == pytest.approx(logits.softmax(1).numpy(), abs=1e-14)
    assert posterior[3].tolist() == pytest.approx([0.999665, 0.000335], abs=5e-7)


def test_invariant_under_invertible_affine_maps():
    features, labels = clouds(90, 5)
    mix = torch.randn(5, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    moved = features @ mix + 7
    one, two = (class_gaussian(moments(f, labels, 3)) for f in (features, moved))
    a = squared_distances(features, one["whiten"], one["origin"], one["centres"])
    b = squared_distances(moved, two["whiten"], two["origin"], two["centres"])
    assert a.numpy() == pytest.approx(b.numpy(), rel=1e-7)


def test_identity_covariance_gives_euclidean_distances():
    features, centres = clouds(20, 4)[0], clouds(3, 4, seed=5)[0]
    found = squared_distances(features, torch.eye(4).double(), torch.zeros(4).double(), centres)
    assert found.numpy() == pytest.approx(torch.cdist(features, centres).square().numpy(), rel=1e-9)


@pytest.mark.parametrize("dead", [0, 3])
def test_mean_distance_to_the_own_class_is_the_rank(dead):
    features, labels = clouds(200, 6)
    features = torch.cat([features, torch.full((200, dead), 0.7, dtype=torch.float64), features[:, :1]], 1)
    bank = class_gaussian(moments(features, labels, 3))
    distances = squared_distances(features, bank["whiten"], bank["origin"], bank["centres"])
    assert len(bank["whiten"]) == 6
    assert distances.gather(1, labels[:, None]).mean().item() == pytest.approx(6, abs=1e-6)


def test_agrees_with_empirical_covariance_and_its_pseudo_inverse():
    features, labels = clouds(150, 5)
    features = torch.cat([features, features @ torch.ones(5, 1, dtype=torch.float64)], 1)  # rank 5 of 6
    means = torch.stack([features[labels == c].mean(0) for c in range(3)])
    reference = EmpiricalCovariance(assume_centered=True).fit((features - means[labels]).numpy())
    bank = class_gaussian(moments(features, labels, 3))
    found = squared_distances(features, bank["whiten"], bank["origin"], bank["centres"])
    away = (features[:, None] - means).numpy()
    assert found.numpy() == pytest.approx(np.einsum("nki,ij,nkj->nk", away, reference.precision_, away), rel=1e-6)


def test_the_nearest_mean_is_the_class_of_linear_discriminant_analysis():
    features, labels = clouds(240, 4, classes=4)
    reference = LinearDiscriminantAnalysis(solver="lsqr", priors=[0.25] * 4).fit(features.numpy(), labels.numpy())
    bank = class_gaussian(moments(features, labels, 4))
    grid = 6 * torch.randn(500, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = squared_distances(grid, bank["whiten"], bank["origin"], bank["centres"]).argmin(1)
    assert found.numpy().tolist() == reference.predict(grid.numpy()).tolist()


def test_distances_to_the_true_class_are_chi_squared():
    features, labels = clouds(20_000, 5)
    bank = class_gaussian(moments(features[:10_000], labels[:10_000], 3))
    own = squared_distances(features[10_000:], bank["whiten"], bank["origin"], bank["centres"])
    own = own.gather(1, labels[10_000:, None])[:, 0]
    assert stats.kstest(own.numpy(), stats.chi2(5).cdf).pvalue > 0.01


def test_total_covariance_is_within_and_between():
    features, labels = clouds(120, 4)
    sums = moments(features, labels, 3)
    away = sums.means() - sums.mean()
    between = (away * (sums.counts / sums.n)[:, None]).T @ away
    assert sums.covariance().numpy() == pytest.approx((sums.within() + between).numpy(), rel=1e-9)
    assert torch.linalg.eigvalsh(sums.within()).min() > 0


def test_a_new_class_with_the_shared_covariance_changes_nothing_of_it():
    features, labels = clouds(80, 3, classes=2)
    new = features[labels == 0] - features[labels == 0].mean(0)
    target = moments(features, labels).within()
    values, vectors = torch.linalg.eigh(target)
    own = new @ whitening(*torch.linalg.eigh(new.T @ new / len(new)), torch.zeros(())).T
    new = own @ (vectors * values.sqrt()).T + 50  # statistics of the third class: those shared by the first two
    three = moments(torch.cat([features, new]), torch.cat([labels, torch.full((len(new),), 2)]), 3)
    assert three.within().numpy() == pytest.approx(target.numpy(), rel=1e-9)
    update = (2 * target + new.T.cov(correction=0)) / 3  # C/(C+1) Sigma + 1/(C+1) Sigma_new
    assert update.numpy() == pytest.approx(target.numpy(), rel=1e-9)


def test_the_decomposition_is_made_once_and_again_for_more_samples():
    features, labels = clouds(60, 4)
    sums = moments(features[:40], labels[:40], 3)
    assert eigen(sums, "within")[1] is eigen(sums, "within")[1]
    sums.add(features[40:], labels[40:])
    assert eigen(sums, "within")[0].sum().item() == pytest.approx(sums.within().trace().item())
    assert eigen(sums, "covariance")[0].sum().item() == pytest.approx(sums.covariance().trace().item())


@pytest.mark.parametrize(
    ("variances", "fourth", "share"),
    [((1, 1, 1), 100, 0), ((1, 3), 9, 0), ((1, 3), 14, 0.5), ((1, 3), 16, 0.75), ((1, 3), 100, 1)],
)
def test_ledoit_wolf_by_hand(variances, fourth, share):
    """Of (1, 3): squares 10, (10 - 16 / 2) / 2 = 1 away from equal ones, and (fourth - 10) / 8 of noise at n = 4."""
    found = ledoit_wolf(torch.tensor(variances).double(), torch.tensor(fourth).double(), 4)
    assert found.item() == share
