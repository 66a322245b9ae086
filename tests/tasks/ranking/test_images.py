import numpy as np
import pytest
import torch
from torch import nn

from unshaken.attack.gradient.pgd import PGD
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError, ParameterError
from unshaken.tasks.ranking import attack_queries, image_vectors, measure_queries, rank_images, same_class
from unshaken.tasks.ranking.images import GalleryClasses


def test_images_of_the_same_colour_are_found():
    """A red query among two red images, itself and a blue one; the mean of each channel is the vector."""
    net = nn.Sequential(nn.Identity(), nn.Flatten(), nn.Linear(12, 2))
    model = Classifier(net)
    colours = torch.tensor([[1, 0, 0], [0.9, 0.1, 0], [0.8, 0, 0.1], [0, 0, 1.0]])
    vectors = image_vectors(model, colours[:, :, None, None].expand(4, 3, 2, 2), "0", batch=3)
    assert torch.allclose(vectors, nn.functional.normalize(colours, dim=1))
    ids = ["a", "b", "c", "d"]
    rankings = rank_images(vectors[:1], vectors, ids[:1], ids)
    assert rankings["a"].ids == ("b", "c", "d")  # cosines .994, .992, 0
    qrels = same_class(ids[:1], [0], ids, [0, 0, 1, 0])
    assert qrels == {"a": {"b": 1, "d": 1}}
    assert measure_queries(rankings, qrels, ["AP"])["AP"]["a"] == pytest.approx((1 + 2 / 3) / 2)
    with pytest.raises(ModelError):
        image_vectors(model, torch.zeros(1, 3, 2, 2), "none")


def test_a_ranking_is_as_deep_as_asked_for_whether_the_query_is_in_the_gallery_or_not():
    gallery = np.array([[1.0, 0], [0.8, 0.6], [0.6, 0.8], [0, 1]])
    found = rank_images(gallery[:1].repeat(2, 0), gallery, ["a", "q"], ["a", "b", "c", "d"], depth=2)
    assert found["a"].ids == ("b", "c")
    assert found["q"].ids == ("a", "b")
    assert found["a"].scores.tolist() == pytest.approx([0.8, 0.6])


def test_a_class_that_the_gallery_has_not_is_not_judged():
    assert same_class(["a", "b"], [0, 5], ["a", "c"], [0, 0]) == {"a": {"c": 1}}


@pytest.mark.parametrize(("gallery", "names"), [(np.zeros((2, 4)), ["x", "y"]), (np.zeros((2, 3)), ["x"])])
def test_vectors_that_do_not_fit_are_refused(gallery, names):
    with pytest.raises(ParameterError):
        rank_images(np.zeros((1, 3)), gallery, ["q"], names)


def test_names_that_come_twice_are_refused():
    for queries, gallery in ((["a", "a"], ["x", "y"]), (["a", "b"], ["x", "x"])):
        with pytest.raises(ParameterError, match=r"1 (query|gallery) names come twice"):
            rank_images(np.eye(2), np.eye(2), queries, gallery)


SEARCH = PGD(steps=12, rel_stepsize=0.25, random_start=False)


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
