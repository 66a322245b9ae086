"""Heads for a policy: the max rule, thresholds, logits for attacks, and the head that is told its policy."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from unshaken.attack.gradient.pgd import PGD
from unshaken.core import Batch
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.oracle import Oracle
from unshaken.data.arrays import InMemory
from unshaken.detect import DetectorSet, fit
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.fit_data import FitData
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.moderation.policy_classifier import policy_classifier
from unshaken.detect.moderation.policy_heads import PolicyHeads, category_margins, fit_heads, memberships


def test_the_farthest_category_decides(anatomy):
    bank = {
        "weight": torch.tensor([[1.0, 0.0], [0.0, 2.0]]),
        "bias": torch.tensor([0.5, 0.0]),
        "thresholds": torch.tensor([1.0, -1.0]),
    }
    forward = ForwardPass(anatomy, torch.zeros(3, 2), {"head:in": torch.tensor([[3.0, 0.0], [0.0, 0.0], [0.0, -2.0]])})
    method = PolicyHeads(unsafe="0+1")
    assert method.categories(forward, bank).tolist() == [[2.5, 1.0], [-0.5, 1.0], [-0.5, -3.0]]
    assert method.score(forward, bank).tolist() == [2.5, 1.0, -0.5]


def test_membership():
    labels = torch.tensor([0, 1, 2, 3])
    assert memberships(labels, [(1, 3), (0,)]).tolist() == [[False, True], [True, False], [False, False], [True, False]]


def test_heads_against_scikit_learn():
    rng = np.random.default_rng(0)
    x = rng.normal(2, 3, (300, 6)) * [1, 10, 0.1, 1, 1, 0]
    x[:, 5] = 7  # a dead feature
    belongs = np.stack([x[:, 0] + rng.normal(0, 2, 300) > 3, x[:, 1] > 30], 1)
    weight, bias = fit_heads(torch.tensor(x), torch.tensor(belongs), 0.3)
    z = (x - x.mean(0)) / np.where(x.std(0) > 0, x.std(0), 1)
    for k in range(2):
        known = LogisticRegression(C=0.3, tol=1e-10, max_iter=1000).fit(z, belongs[:, k])
        expected = torch.tensor(known.decision_function(z))
        got = category_margins(torch.tensor(x), weight, bias, torch.zeros(2))[:, k]
        assert torch.allclose(got, expected, atol=1e-4)
    assert weight[:, 5].tolist() == [0, 0]


def kept_of(features, labels, held, held_labels, classes=3):
    anatomy = Anatomy("toy", classes, "head", (), torch.eye(classes, features.shape[1]), torch.zeros(classes))
    tune = ForwardPass(anatomy, torch.zeros(len(held), classes), {"head:in": held}, labels=held_labels)
    return FitData(anatomy, rows={"penultimate": features, "labels": labels}, tune=tune, n=len(features))


def test_thresholds_are_the_best_for_held_out_images(make):
    x, y = make.clouds(300, 0)
    held, theirs = make.clouds(90, 1)
    fit_data = kept_of(x, y, held, theirs)
    best, half = (PolicyHeads(unsafe="1+2", threshold=t) for t in ("f1", "half"))
    bank, plain = best.fit(fit_data), half.fit(fit_data)
    assert plain["thresholds"].tolist() == [0, 0]
    assert torch.equal(bank["weight"], plain["weight"])
    for k, c in enumerate((1, 2)):
        truth = theirs == c
        f1 = []
        for t in (bank["thresholds"][k], torch.tensor(0.0), torch.tensor(0.4), torch.tensor(-0.4)):
            flagged = held.double() @ plain["weight"][k] + plain["bias"][k] > t
            f1.append((2 * (flagged & truth).sum() / (flagged.sum() + truth.sum())).item())
        assert f1[0] == max(f1) > 0.7
    forward = ForwardPass(fit_data.anatomy, torch.zeros(90, 3), {"head:in": held})
    score = best.score(forward, bank)
    assert score[theirs > 0].median() > 0 > score[theirs == 0].median()


def test_without_held_out_labels_thresholds_are_a_probability_of_one_half(make):
    x, y = make.clouds(90, 0)
    assert PolicyHeads(unsafe="1+2").fit(kept_of(x, y, x, None))["thresholds"].tolist() == [0, 0]


def test_what_cannot_be_fitted(make):
    x, y = make.clouds(30, 0)
    with pytest.raises(DataError, match="0 of 30 images show '3'"):
        PolicyHeads(unsafe="3").fit(kept_of(x, y, x, y, classes=4))
    with pytest.raises(DataError, match="30 of 30 images show '1'"):
        PolicyHeads(unsafe="1").fit(kept_of(x, torch.ones_like(y), x, y))
    for wrong in ({}, {"file": "a.yaml", "unsafe": "1"}):
        with pytest.raises(ParameterError, match="give the policy once"):
            PolicyHeads(**wrong)
    with pytest.raises(ParameterError, match="no class 'cat'"):
        PolicyHeads(unsafe="cat").fit(kept_of(x, y, x, y))


def coloured(n):
    """Red, green and blue pictures of any brightness."""
    labels = torch.arange(n) % 3
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(n, 3, 8, 8, generator=generator) * 0.3
    images[torch.arange(n), labels] += 0.5
    return (images * 255).to(torch.uint8), labels


def test_fitted_on_images_saved_and_attacked(toy, tmp_path):
    images, labels = coloured(240)
    file = tmp_path / "policy.yaml"
    file.write_text("labels: [red, green, blue]\ncategories: [{name: warm, classes: [red]}, {name: blue}]\n")
    data = InMemory(images, labels)
    detector_set = fit(toy, data, [f"policy-heads:file={file},c=1"]).detector_set
    detector_set.save(tmp_path / "door")
    file.unlink()  # what is fitted needs its policy's file no more
    batch = Batch(images.float() / 255, (labels != 1).long(), tuple(map(str, range(240))))
    score = DetectorSet.load(tmp_path / "door", toy).score(batch)["policy-heads"]
    assert torch.equal(score, detector_set.score(batch)["policy-heads"])
    assert ((score > 0) == (labels != 1)).float().mean() > 0.98

    model = policy_classifier(toy, detector_set.anatomy, detector_set.detectors["policy-heads"].bank)
    with torch.no_grad():
        probability = model(batch.images).softmax(1)[:, 1]
    assert torch.allclose(probability.double(), score.sigmoid(), atol=1e-5)
    (broken, same), _ = PGD(steps=20).attack(Oracle(model), batch, norm="linf", eps=[0.5, 0.0], seed=0)
    assert (broken.logits.argmax(1) == batch.labels).float().mean() < 0.1
    assert (same.logits.argmax(1) == (score > 0).long()).all()  # with no budget nothing changes
