"""Reviews in a store, the same in SQLite and PostgreSQL."""

from __future__ import annotations

import random
import threading

import pytest

from tests.serve.review.replay import CLASSES, check_counted, items
from unshaken.core.errors import ParameterError
from unshaken.labels.review.verdict import Verdict
from unshaken.serve.review.records import NewItem
from unshaken.serve.review.store import ReviewStore

CONFIRM, BEE, SKIP = Verdict(kind="confirm"), Verdict(kind="suggest", classes=(1,)), Verdict(kind="skip")


def test_a_review_is_found_again_as_it_was_made(store, address):
    again = ReviewStore.open(address)
    assert [r.name for r in again.reviews()] == ["r"]
    assert again.review("r") == store.review("r")
    assert (again.review("r").classes, again.review("r").items, again.review("r").blind) == (CLASSES, 12, True)
    again.close()


def test_two_readers_agree_or_disagree_and_a_third_settles(store):
    store.record("r", 1, "ann", CONFIRM, token="1")
    store.record("r", 1, "bob", CONFIRM, token="1")
    store.record("r", 2, "ann", BEE, token="2")
    store.record("r", 2, "bob", CONFIRM, token="2")
    assert [d.item.id for d in store.disagreements("r")] == [2]
    assert {v.reader: v.verdict for v in store.disagreements("r")[0].verdicts} == {"ann": BEE, "bob": CONFIRM}
    store.settle("r", 2, "cid", BEE, token="3")
    assert store.disagreements("r") == []
    outcomes = {label.sample: label.corrected for label in store.labels_at("r")}
    assert outcomes == {"s1": 1, "s2": 1}
    assert store.progress("r").done == 2
    check_counted(store)


def test_a_suggestion_is_hidden_until_the_first_verdict_and_the_row_says_so(store):
    before = store.item("r", 1, "ann")
    assert (before.is_revealed, before.suggested, before.score, before.near_suggested) == (False, None, None, ())
    first = store.record("r", 1, "ann", CONFIRM, token="1")
    after = store.item("r", 1, "ann")
    assert (after.is_revealed, after.suggested, after.near_suggested, after.own) == (True, 2, ("n",), CONFIRM)
    second = store.record("r", 1, "ann", BEE, token="2")
    assert (first.shown.suggestion, first.shown.neighbours) == (False, ("g",))
    assert (second.shown.suggestion, second.shown.neighbours) == (True, ("g", "n"))
    assert store.item("r", 1, "bob").suggested is None
    store.undo("r", "ann")
    store.undo("r", "ann")
    assert store.item("r", 1, "ann").suggested == 2  # it was seen
    assert store.record("r", 1, "ann", BEE, token="3").shown.suggestion


def test_an_open_review_shows_all(store):
    store.create("open", classes=CLASSES, items=items(3), blind=False, readers_per_item=1)
    assert store.item("open", 1, "ann").suggested == 2
    assert store.record("open", 1, "ann", BEE, token="1").shown.suggestion
    assert store.item("open", 1, "ann").answer is not None


def test_the_same_token_adds_one_row(store):
    first = store.record("r", 1, "ann", BEE, token="t")
    assert store.record("r", 1, "ann", BEE, token="t") == first
    store.record("r", 1, "bob", BEE, token="t")  # another reader's tokens are others
    assert store.undo("r", "ann", token="u") == store.undo("r", "ann", token="u")
    assert store.review("r").log == 3
    for item, verdict in ((2, BEE), (1, CONFIRM)):
        with pytest.raises(ParameterError, match="token 't' was used for another verdict"):
            store.record("r", item, "ann", verdict, token="t")
    check_counted(store)


def test_undo_takes_back_one_act_after_another(store):
    store.record("r", 1, "ann", CONFIRM, token="1")
    store.record("r", 2, "ann", CONFIRM, token="2")
    store.record("r", 2, "ann", BEE, token="3")
    assert [store.undo("r", "ann").withdraws for _ in range(3)] == [3, 2, 1]
    with pytest.raises(ParameterError, match="no verdict to undo"):
        store.undo("r", "ann")
    assert [row.action.value for row in store.verdicts("r")] == ["verdict"] * 3 + ["withdraw"] * 3
    check_counted(store)


def test_a_settlement_can_be_undone(store):
    store.record("r", 1, "ann", CONFIRM, token="1")
    store.record("r", 1, "bob", BEE.model_copy(update={"classes": (0,)}), token="1")
    store.settle("r", 1, "cid", CONFIRM, token="1")
    store.undo("r", "cid")
    assert [d.item.id for d in store.disagreements("r")] == [1]
    check_counted(store)


def test_next_item_goes_on_after_the_last_and_round_the_end(store):
    assert store.next_item("r", "ann").id == 1
    store.record("r", 11, "ann", CONFIRM, token="1")
    assert store.next_item("r", "ann").id == 12
    store.record("r", 12, "ann", SKIP, token="2")
    assert store.next_item("r", "ann").id == 1
    assert store.next_item("r", "ann", after=4).id == 5
    for i in range(1, 11):
        store.record("r", i, "ann", CONFIRM, token=f"i{i}")
    assert store.next_item("r", "ann") is None
    for reader in ("bob", "cid"):  # a third reader is offered what lacks a verdict alone
        store.record("r", 1, reader, CONFIRM, token="b")
        assert store.next_item("r", reader, after=0).id == 2


def test_whatever_readers_do_the_counts_follow_from_the_log(store):
    draw, refused = random.Random(4), set[str]()
    verdicts = [CONFIRM, BEE, SKIP, Verdict(kind="unclear"), Verdict(kind="several", classes=(0, 2))]
    for step in range(120):
        reader, item = draw.choice(["ann", "bob", "cid"]), draw.randint(1, 5)
        try:
            match draw.choice(["record"] * 6 + ["settle", "undo"]):
                case "record":
                    store.record("r", item, reader, draw.choice(verdicts), token=str(step))
                case "settle":
                    store.settle("r", item, reader, CONFIRM, token=str(step))
                case "undo":
                    store.undo("r", reader)
        except ParameterError as error:
            refused.add(str(error).partition(":")[0].rpartition(" is ")[2])
    assert refused <= {"there is no verdict to undo", "open", "waiting", "agreed"}
    assert store.review("r").log > 80
    assert len({item.state for item in store.page("r", reader="ann", limit=7).items}) > 2
    check_counted(store)


def test_readers_at_once_on_the_same_items(store):
    start, failed = threading.Barrier(3), []

    def read(name: str) -> None:
        try:
            start.wait()
            for i in range(1, 13):
                store.record("r", i, name, CONFIRM if i % 3 else BEE if name == "ann" else SKIP, token=f"{i}")
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=read, args=(name,)) for name in ("ann", "bob", "cid")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert store.review("r").log == 36
    assert {s.value: n for s, n in store.progress("r").states.items() if n} == {"agreed": 8, "waiting": 4}
    check_counted(store)


@pytest.mark.parametrize(
    ("act", "why"),
    [
        (lambda s: s.record("q", 1, "ann", CONFIRM, token="1"), "no review 'q'; known: r"),
        (lambda s: s.record("r", 0, "ann", CONFIRM, token="1"), "no item 0: its items are 1 to 12"),
        (lambda s: s.record("r", 13, "ann", CONFIRM, token="1"), "no item 13"),
        (lambda s: s.record("r", 2**70, "ann", CONFIRM, token="1"), "no item 1180591620717411303424"),
        (lambda s: s.record("r", 1, "eve", CONFIRM, token="1"), "no reader 'eve'"),
        (lambda s: s.record("r", 1, "ann\0", CONFIRM, token="1"), "no reader"),
        (lambda s: s.record("r", 1, "ann", Verdict(kind="suggest", classes=(3,)), token="1"), "no class 3: .* 0 to 2"),
        (lambda s: s.record("r", 1, "ann", CONFIRM, token=""), "token '' must be 1 to 100"),
        (lambda s: s.record("r", 1, "ann", CONFIRM, token="x" * 101), "must be 1 to 100"),
        (lambda s: s.record("r", 1, "ann", CONFIRM, token="a\0"), "must be 1 to 100"),
        (lambda s: s.settle("r", 1, "ann", CONFIRM, token="1"), "item 1 is open: only what readers disagree on"),
        (lambda s: s.settle("r", 1, "ann", SKIP, token="1"), "skip settles nothing"),
        (lambda s: s.undo("r", "ann"), "no verdict to undo"),
        (lambda s: s.item("r", 99, "ann"), "no item 99"),
        (lambda s: s.review("\0"), "no review"),
        (lambda s: s.create("r", classes=CLASSES, items=items(1)), "a review 'r' already"),
        (lambda s: s.create("../x", classes=CLASSES, items=items(1)), "'../x' is no name of a review"),
        (lambda s: s.create("n", classes=["a"], items=items(1)), "the number of classes 1 must be from 2"),
        (lambda s: s.create("n", classes=["a", "\0"], items=items(1)), "the name of a class holds a NUL"),
        (lambda s: s.create("n", classes=CLASSES, items=[]), "needs items"),
        (lambda s: s.create("n", classes=CLASSES, items=items(2) + items(1)), "comes twice"),
        (lambda s: s.create("n", classes=CLASSES, items=items(6000) + items(1)), "comes twice"),
        (lambda s: s.create("n", classes=CLASSES, items=[NewItem(sample="a", given=3)]), "label 3 is no class"),
        (lambda s: s.create("n", classes=CLASSES, items=items(1), readers_per_item=0), "readers_per_item 0"),
        (lambda s: s.page("r", reader="ann", limit=0), "limit 0 must be from 1 to 500"),
        (lambda s: s.page("r", reader="ann", after="x"), "after='x' is not the end of a page"),
        (lambda s: s.page("r", reader="ann", after="1@1"), "after='1@1' is not the end of a page"),
    ],
)
def test_wrong_use_is_told_and_changes_nothing(store, act, why):
    with pytest.raises(ParameterError, match=why):
        act(store)
    assert ([r.name for r in store.reviews()], store.review("r").log) == (["r"], 0)


HOSTILE = [
    "<script>alert(1)</script>",
    "'; DROP TABLE item; --",
    "a/../../etc/passwd",
    "%s%n{}",
    "\u202egnp.exe",
    "é" * 2000,
]


def test_hostile_names_come_back_as_they_are(store):
    named = [NewItem(sample=name, given=0, near_given=(name,)) for name in HOSTILE]
    store.create("hostile", classes=[*HOSTILE, "\n"], items=named)
    page = store.page("hostile", reader="ann")
    assert [item.sample for item in page.items] == HOSTILE
    assert [item.near_given[0] for item in page.items] == HOSTILE
    assert store.review("hostile").classes == (*HOSTILE, "\n")
    note = Verdict(kind="unclear", note="\n".join(HOSTILE)[:2000])
    store.record("hostile", 1, "ann", note, token=HOSTILE[0])
    assert store.history("hostile", 1)[0].verdict == note


@pytest.mark.parametrize(
    ("stratum", "strata", "words"),
    [(None, (9,), "12 items are of stratum None"), (0, (9,), "which has 9 samples"), (0, (), "stratum 0, which has 0")],
)
def test_items_that_are_no_sample_of_the_strata_are_refused(store, stratum, strata, words):
    drawn = [one.model_copy(update={"stratum": stratum}) for one in items(12)]
    with pytest.raises(ParameterError, match=words):
        store.create("s", classes=CLASSES, items=drawn, strata=strata)
    assert [one.name for one in store.reviews()] == ["r"]
