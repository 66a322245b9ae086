"""Colours as vectors: how far a query must move until another colour is nearer is known by hand."""

import pytest
import torch
from torch import nn

from unshaken.attack import PGD
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError, ParameterError
from unshaken.tasks.ranking import attack_queries, image_vectors, measure_queries, rank_images, same_class
from unshaken.tasks.ranking.image_attack import GalleryClasses

SEARCH = PGD(steps=12, step_size=0.25, random_start=False)


def colours(*rows):
    return torch.tensor(rows)[:, :, None, None].expand(-1, -1, 2, 2).contiguous()


@pytest.fixture
def model():
    return Classifier(nn.Sequential(nn.Identity(), nn.Flatten(), nn.Linear(12, 2))).eval()


GALLERY = colours([1.0, 0, 0], [0.9, 0, 0.1], [0, 1.0, 0], [0, 0.9, 0.1])
LABELS = torch.tensor([0, 0, 1, 1])
QUERY = Batch(colours([0.6, 0.4, 0]), torch.tensor([0]), ("q",))
IDS = ("a", "b", "c", "d")


def precision(model, images):
    vectors = [image_vectors(model, part, "0") for part in (images, GALLERY)]
    rankings = rank_images(*vectors, ["q"], IDS)
    return measure_queries(rankings, same_class(["q"], [0], IDS, LABELS.tolist()), ["AP"])["AP"]["q"]


@pytest.mark.parametrize(("eps", "left"), [(0.05, 1.0), (0.15, (1 / 3 + 2 / 4) / 2)])
def test_a_query_passes_the_border_of_two_colours_and_no_sooner(model, eps, left):
    """Red and green are as near to (0.5, 0.5, 0), which is 0.1 away from the query."""
    assert precision(model, QUERY.images) == 1
    found = attack_queries(model, QUERY, GALLERY, LABELS, "0", SEARCH, eps=eps)
    assert (found - QUERY.images).abs().max().item() == pytest.approx(eps, abs=1e-6)
    assert precision(model, found) == pytest.approx(left)


def test_shares_by_hand(model):
    gallery = image_vectors(model, GALLERY, "0")
    net = GalleryClasses(model, "0", gallery, LABELS, 3, 0.5)
    vector = nn.functional.normalize(torch.tensor([0.6, 0.4, 0.0]), dim=0)
    weights = (gallery @ vector / 0.5).exp()
    wanted = torch.stack([weights[:2].sum(), weights[2:].sum(), torch.tensor(0.0)])
    assert torch.allclose(net(QUERY.images).softmax(1)[0], wanted / wanted.sum())


def test_without_a_budget_nothing_changes(model):
    found = attack_queries(model, QUERY, GALLERY, LABELS, "0", SEARCH, eps=0.0)
    assert torch.equal(found, QUERY.images)


@pytest.mark.parametrize(
    ("query", "labels"), [(torch.tensor([4]), LABELS), (None, LABELS), (torch.tensor([0]), torch.zeros(4).long())]
)
def test_queries_need_a_class_of_the_gallery_and_another(model, query, labels):
    batch = Batch(QUERY.images, query, ("q",))
    with pytest.raises(ParameterError, match="labels that the gallery has"):
        attack_queries(model, batch, GALLERY, labels, "0", SEARCH, eps=0.1)


def test_a_layer_must_be_there(model):
    with pytest.raises(ModelError, match="no layer 'head'"):
        attack_queries(model, QUERY, GALLERY, LABELS, "head", SEARCH, eps=0.1)
