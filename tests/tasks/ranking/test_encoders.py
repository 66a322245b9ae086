"""A sentence-embedding network of a folder: means over pieces, whatever the batch, and what it does not read."""

import numpy as np
import pytest

from tests.tasks.tiny_bert import make_bert
from unshaken.core.errors import ModelError
from unshaken.tasks.ranking import SentenceEncoder, load_encoder
from unshaken.tasks.ranking.encoders import LONGEST_TEXT


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return SentenceEncoder(make_bert(tmp_path_factory.mktemp("bert")))


def test_a_text_has_the_same_vector_beside_any_other(encoder):
    alone = encoder(["old ship"])
    beside = encoder(["near ships near ships near ships", "old ship"])
    assert alone.shape == (1, 8)
    assert np.allclose(alone[0], beside[1], atol=1e-6)
    assert encoder.word_vectors(["ship", ""]).shape == (2, 8)


def test_what_is_beyond_the_limit_is_not_read_and_that_is_known(encoder):
    """Two pieces of each text are marks of its beginning and its end."""
    fits, long = " ".join(["ship"] * (LONGEST_TEXT - 2)), " ".join(["ship"] * (LONGEST_TEXT - 1))
    assert encoder.truncates([fits, long]) == [False, True]
    assert encoder.truncates([]) == []
    assert np.array_equal(encoder([f"{long} old"]), encoder([f"{long} near"]))


def test_a_folder_without_weights_is_refused(tmp_path):
    with pytest.raises(ModelError, match="holds no model"):
        load_encoder(str(tmp_path))
    with pytest.raises(ModelError, match="there is no encoder"):
        load_encoder("word2vec")
