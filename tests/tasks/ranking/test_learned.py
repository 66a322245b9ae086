"""The mathematics of the rankers that learn."""

import math

import numpy as np
import pytest

from tests.tasks.ranking.toy import collection
from unshaken.core.errors import DataError, ModelError
from unshaken.tasks.ranking import Collection, HashedPieces, LambdaMART, RankSVM, load_encoder
from unshaken.tasks.ranking.learned import lambdas
from unshaken.tasks.ranking.neural import KERNELS, EncoderMemory, KernelIndex, pool_kernels


def test_kernels_by_hand():
    """Two words of the query, three of the vocabulary, one document."""
    cosines = np.array([[1.0, 0.2, -0.4], [0.3, 0.9, 0.0]], np.float32)
    tf = np.array([[1.0, 2.0, 1.0]], np.float32)

    def kernel(row, mu, s):
        pairs = zip(row.astype(float), tf[0], strict=True)
        return math.log(max(1e-10, sum(t * math.exp(-((m - mu) ** 2) / (2 * s * s)) for m, t in pairs)))

    expected = [0.01 * sum(kernel(row, mu, s) for row in cosines) for mu, s in KERNELS]
    assert len(KERNELS) == 11
    assert pool_kernels(cosines, tf)[0] == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_a_document_has_the_same_kernels_alone_and_in_the_collection():
    documents = ["bird singing", "engine burning", "bird engine engine"]
    index = KernelIndex(documents, HashedPieces(32).word_vectors, np.arange(11.0))
    together = index.score(["bird engine"])[0]
    assert index.score_pairs(["bird engine"] * 3, documents) == pytest.approx(together, rel=1e-4)
    assert index.features("bird engine", np.array([2, 0])) @ index.weights == pytest.approx(together[[2, 0]], rel=1e-4)


def test_learners_with_little_to_compare():
    """One pair of documents teaches their order; documents of one grade teach nothing, and that is told."""
    one = Collection({"a": "wing", "b": "wing wing wing"}, {"q": "wing"}, {"q": {"b": 1}})
    scores = RankSVM().fit(one, 0).index(list(one.documents.values())).score(["wing"])[0]
    assert scores[1] > scores[0]
    assert abs(scores).max() < 1e3
    same = Collection({"a": "wing", "b": "wings"}, {"q": "wing"}, {"q": {"a": 1, "b": 1}})
    with pytest.raises(DataError, match="no training query has documents of two grades"):
        RankSVM().fit(same, 0)


@pytest.mark.parametrize("learner", [RankSVM(), LambdaMART(trees=2)])
def test_any_seed_will_do(learner):
    learner.fit(collection(), 2**62)


def test_lambdas_by_hand():
    """The relevant document stands second: swapping changes nDCG by (1 - 1/log2(3)) / 1, and rho is 1/(1 + e^-1)."""
    pull, weight = lambdas(np.array([1.0, 0.0]), np.array([0, 1]))
    rho = 1 / (1 + math.exp(-1))
    change = 1 - 1 / math.log2(3)
    assert pull == pytest.approx([-change * rho, change * rho])
    assert weight == pytest.approx([change * rho * (1 - rho)] * 2)
    assert lambdas(np.zeros(3), np.zeros(3))[0] == pytest.approx(0)
    for one, other in zip(lambdas(np.array([1.0, 0.0]), np.array([0, 3])), (pull, weight), strict=True):
        assert one == pytest.approx(other)  # a gain of 7 of an ideal 7


def test_encoders():
    pieces = load_encoder("hashed-pieces")
    vectors = pieces(["bird", "birds", "guitar"])
    cosine = vectors @ vectors.T / np.outer(*2 * [np.linalg.norm(vectors, axis=1)])
    assert cosine[0, 1] > 0.5 > abs(cosine[0, 2])
    calls = []
    memory = EncoderMemory(lambda texts: calls.append(list(texts)) or pieces(texts))
    assert np.array_equal(memory(["a", "bird", "a"])[0], memory(["a"])[0])
    assert calls == [["a", "bird"]]
    with pytest.raises(ModelError, match="no encoder"):
        load_encoder("no-such-folder")


def test_a_folder_without_weights_is_no_encoder(tmp_path):
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        load_encoder(str(tmp_path))
