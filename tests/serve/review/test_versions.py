"""Named versions of the labels."""

from __future__ import annotations

import pytest

from unshaken.core.errors import ParameterError
from unshaken.labels.review.verdict import Verdict

BEE = Verdict(kind="suggest", classes=(1,))


def both(store, item, verdict=BEE):
    for reader in ("ann", "bob"):
        store.record("r", item, reader, verdict, token=f"{reader}{item}{verdict.kind}")


def corrected(store, version):
    return {label.sample: label.corrected for label in store.labels_at("r", version)}


def test_the_labels_of_a_version_never_change(store):
    both(store, 2)
    assert store.name_version("r", "first").number == 2
    both(store, 3)
    both(store, 2, Verdict(kind="confirm"))
    store.name_version("r", "second")
    assert [v.name for v in store.versions("r")] == ["first", "second"]
    assert corrected(store, "given") == {}
    assert corrected(store, "first") == {"s2": 1}
    assert corrected(store, "second") == corrected(store, None) == {"s2": 2, "s3": 1}
    assert corrected(store, 3) == {"s2": 1, "s3": None}


@pytest.mark.parametrize("name", ["first", "given", "a/b", ""])
def test_a_name_that_is_taken_or_none_is_refused(store, name):
    store.name_version("r", "first")
    with pytest.raises(ParameterError, match=r"already|no name of a version"):
        store.name_version("r", name)


@pytest.mark.parametrize(
    ("version", "why"), [("frist", "did you mean 'first'"), (1, "no row 1: its last is 0"), (-1, "-1")]
)
def test_an_unknown_version_is_told(store, version, why):
    store.name_version("r", "first")
    with pytest.raises(ParameterError, match=why):
        store.labels_at("r", version)
