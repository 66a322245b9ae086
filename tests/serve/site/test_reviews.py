"""The review of labels of a run that holds one, reached from the page of the run."""

from __future__ import annotations

from tests.report.conftest import write_run
from tests.serve.conftest import CLASSES, new_items, picture_data
from tests.serve.site.conftest import PLAN, runs_of
from unshaken.serve.review.store import ReviewStore
from unshaken.serve.site.part import open_site


def test_a_review_is_reached_from_its_run(open_client, tmp_path):
    run = write_run(tmp_path / "runs" / "a", plan=PLAN, pictures=0)
    write_run(tmp_path / "runs" / "b", plan=PLAN, pictures=0)
    with ReviewStore.open(run.at("review.db")) as store:
        store.create("night", classes=CLASSES, items=new_items(picture_data()), blind=True)
    ann = open_client(tmp_path / "runs")
    numbers = {name: run.id for name, run in runs_of(ann.site).items()}
    address = f"/reviews/{numbers['a']}~night"
    assert address in ann.get(f"/runs/{numbers['a']}").replace("%7E", "~")
    assert "Review night" not in ann.get(f"/runs/{numbers['b']}")
    item = ann.get(f"{address}/next")
    ann.post(f"{address}/items/1/verdict", item, kind="unclear")
    assert ann.at == f"{address}/items/2"
    with ReviewStore.open(run.at("review.db")) as store:
        assert [(v.reader, v.verdict.kind.value) for v in store.verdicts("night")] == [("ann", "unclear")]
    ann.get(f"/reviews/{numbers['b']}~night/next", 404)
    ann.get("/reviews/night/next", 404)
    for other in (f"0{numbers['a']}", f"%2B{numbers['a']}"):  # one review has one address
        ann.get(f"/reviews/{other}~night/next", 404)


def test_reviews_of_runs_are_closed_with_the_site(monkeypatch, tmp_path):
    run = write_run(tmp_path / "runs" / "a", plan=PLAN, pictures=0)
    with ReviewStore.open(run.at("review.db")) as store:
        store.create("night", classes=CLASSES, items=new_items(picture_data()))
    with open_site([str(tmp_path / "runs")], str(tmp_path / "site.db")) as site:
        site.index.refresh()
        store = site.review_store(runs_of(site)["a"].id)
        pool = store._database.engine.pool
        assert [one.name for one in store.reviews()] == ["night"]
        assert pool.checkedin() == 1
    assert pool.checkedin() == 0


def test_a_damaged_review_leaves_its_run_readable(open_client, tmp_path):
    run = write_run(tmp_path / "runs" / "a", plan=PLAN, pictures=0)
    run.write(b"no database", "review.db")
    ann = open_client(tmp_path / "runs")
    assert "not a database" in ann.get(f"/runs/{runs_of(ann.site)['a'].id}")
