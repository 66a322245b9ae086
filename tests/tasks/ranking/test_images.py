import numpy as np
import pytest
import torch
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError, ParameterError
from unshaken.tasks.ranking import image_vectors, measure_queries, rank_images, same_class


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
