import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.tasks.ranking import perturb
from unshaken.tasks.ranking.perturbations import MANIPULATIONS, NEIGHBOURS, TYPOS, misspell, swap

LENGTHS = {"swap": 0, "delete": -1, "insert": 1, "substitute": 0, "keyboard": 0}


@pytest.mark.parametrize("typo", TYPOS)
def test_a_mistake_changes_an_inner_letter_of_a_long_word(typo):
    for seed in range(40):
        rng = np.random.default_rng(seed)
        found = misspell("the wing is up", rng, typo=typo)
        before, word, after = found.partition("w")[0], found.split()[1], found.split()[2:]
        assert (before, after) == ("the ", ["is", "up"])
        assert len(word) == 4 + LENGTHS[typo]
        assert (word[0], word[-1]) == ("w", "g")
        assert word != "wing"


def test_a_swap_at_the_same_place_restores_the_word():
    assert swap(swap("wing", 1), 1) == "wing"


def test_as_many_words_as_asked_are_misspelt_and_no_stop_words():
    rng = np.random.default_rng(0)
    query = "these wings carry birds through storms"
    found = misspell(query, rng, typo="substitute", words=3).split()
    changed = [a != b for a, b in zip(found, query.split(), strict=True)]
    assert sum(changed) == 3
    assert not changed[0]  # a stop word
    assert not changed[4]


def test_neighbours_of_a_key():
    assert NEIGHBOURS["g"] == "bfhtvy"
    assert all(key in NEIGHBOURS[other] for key, near in NEIGHBOURS.items() for other in near)


def test_words_are_moved_dropped_and_replaced():
    query = {"q": "the small bird sings before dawn"}
    assert sorted(perturb(query, "shuffle-words", 3)["q"].split()) == sorted(query["q"].split())
    assert perturb(query, "drop-stop-words", 0)["q"] == "small bird sings dawn"
    assert len(perturb(query, "drop-words", 0)["q"].split()) == 5
    assert perturb({"q": "the bird"}, "drop-words", 0)["q"] == "the bird"
    assert perturb(query, "synonym", 0, synonyms={"bird": ["fowl"]})["q"] == "the small fowl sings before dawn"
    assert perturb({"q": "to be"}, "drop-stop-words", 0)["q"] == "to be"


def test_a_query_is_changed_alike_whatever_else_is():
    both = perturb({"a": "flying wings", "b": "singing birds"}, "swap", 5)
    assert both["b"] == perturb({"b": "singing birds"}, "swap", 5)["b"]
    assert both != perturb({"a": "flying wings", "b": "singing birds"}, "swap", 6)


@pytest.mark.parametrize(("name", "words"), [("swop", "did you mean 'swap'"), ("synonym", "needs synonyms")])
def test_unknown_changes_are_refused(name, words):
    with pytest.raises(ParameterError, match=words):
        perturb({"q": "birds"}, name, 0)
    with pytest.raises(ParameterError, match="no spelling mistake"):
        misspell("birds", np.random.default_rng(0), typo="none")


def test_documents_are_changed_by_the_words_of_the_query_or_the_first_document():
    document = ("A bird.", "the wing", "A plane.", 2)
    changed = {name: change(*document) for name, change in MANIPULATIONS.items()}
    assert changed == {
        "append": "A bird. wing wing",
        "prepend": "wing wing A bird.",
        "copy-first": "A bird. A plane. A plane.",
        "none": "A bird.",
    }


def test_one_word_is_misspelt_unless_told_otherwise():
    query = "several longer words together"
    found = misspell(query, np.random.default_rng(0), typo="substitute").split()
    assert sum(a != b for a, b in zip(query.split(), found, strict=True)) == 1
