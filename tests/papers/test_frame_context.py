"""Data, settings, steps and rows of the frame, each against what is known by hand."""

import shutil
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from unshaken.attack.gradient.fgsm import FGSM
from unshaken.attack.gradient.pgd import PGD
from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, RunError
from unshaken.core.tables import TABLES, table_modules
from unshaken.measure import over_seeds
from unshaken.papers import Paper, row
from unshaken.papers.context import Context
from unshaken.papers.datasets import Datasets, Split
from unshaken.papers.folders import forget_row
from unshaken.papers.record import Record
from unshaken.papers.rows import Rows, means
from unshaken.papers.tables import register_tables, table_name
from unshaken.store.run_dir import RunDir


@pytest.fixture
def context(tmp_path, tints):
    run = RunDir(tmp_path / "run")
    record = Record.pin(run, {"slug": "toy", "seed": 2}, "rule")
    return Context("toy", 2, run, tints, "small", False, record, Datasets(tints, False, record))


@pytest.fixture
def tinted():
    """A linear classifier that reads the tint, as the data's labels do."""
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Classifier(net).eval()


def test_data_is_there_as_a_whole_or_as_its_two_splits(context, tmp_path):
    for split in ("train", "test"):
        for kind in ("a", "b"):
            (tmp_path / "set" / split / kind).mkdir(parents=True)
            Image.new("L", (4, 4)).save(tmp_path / "set" / split / kind / "0.png")
    context.datasets.check(f"folder:{tmp_path}/set/train")
    context.datasets.check(f"folder:{tmp_path}/set")
    for spec in (f"folder:{tmp_path}/set/none", f"folder:{tmp_path}/none"):
        with pytest.raises(DataError, match="none"):
            context.datasets.check(spec)
    shutil.rmtree(tmp_path / "set" / "test")
    for kind in ("a", "b"):
        (tmp_path / "set" / "test" / kind).mkdir(parents=True)
    with pytest.raises(DataError, match="look like splits"):
        context.datasets.check(f"folder:{tmp_path}/set")
    assert not context.record.inputs  # looking is no reading


def test_a_split_is_what_it_was_read_from(context):
    test = context.datasets.read("test")
    assert (len(test), test.classes, test.images.shape[1:]) == (40, 3, (3, 12, 12))
    assert test.ids[:2] == ("test000", "test001")
    assert test.labels[:4].tolist() == [0, 1, 2, 0]
    assert context.datasets.read("test") is test
    batch = test[torch.tensor([3, 1])].batch()
    assert batch.ids == ("test003", "test001")
    assert torch.equal(batch.images, test.images[[3, 1]].float() / 255)


def test_the_run_seed_draws_the_images(context, tints):
    def drawn(seed):
        parts = Datasets(tints, False, context.record, seed).parts(60, 20, 10)
        return [set(part.ids) for part in (parts.training, parts.testing, parts.choosing)]

    assert drawn(3) == drawn(3)
    assert all(one != other for one, other in zip(drawn(3), drawn(4), strict=True))


def test_a_block_is_of_other_images_for_each_seed():
    images = torch.arange(5, dtype=torch.uint8)[:, None, None, None]
    data = Split.of(images, torch.tensor([0, 1, 0, 0, 1]))
    assert [data.block(2, seed).ids for seed in range(3)] == [("0", "1"), ("2", "3"), ("4", "0")]
    assert data.block(9, 1).ids == ("4", "0", "1", "2", "3")


def test_pictures_of_a_class_are_others_for_each_run_seed(context, tints):
    first, second = (Datasets(tints, False, context.record, seed).grey_by_class("test", [1], 3)[0] for seed in (0, 1))
    every = context.datasets.grey_by_class("test", [1], 99)[0]
    assert torch.equal(torch.cat([first, second]), every[:6])


def test_parts_are_stratified_and_apart(context):
    parts = context.datasets.parts(60, 20, 10)
    assert torch.bincount(parts.training.labels).tolist() == [20, 20, 20]
    assert len(parts.testing) == 20
    assert len(parts.choosing) == 10
    assert not set(parts.testing.ids) & set(parts.choosing.ids)
    with pytest.raises(DataError, match="too few to choose on and to report"):
        context.datasets.parts(60, 1, 10**6)


def test_all_images_but_those_to_choose_on(context):
    parts = context.datasets.parts(None, None, 10)
    assert len(parts.training) == len(context.datasets.read("train"))
    assert (len(parts.testing), len(parts.choosing)) == (30, 10)
    assert context.record.fewer == {}


def test_fewer_images_than_asked_for_are_noted_with_the_run(context, tints):
    context.datasets.parts(60, 50, 10)
    context.datasets.stratified("test", 45)
    found = {f"{tints}?split=test": [60, 40]}
    assert context.record.fewer == context.record.provenance()["fewer"] == found
    assert Record.pin(context.run, {"slug": "toy", "seed": 2}, "rule").fewer == found


def test_a_session_counts_up_to_its_last_rows(context, tinted, monkeypatch):
    monkeypatch.setattr(time, "perf_counter", lambda: 10.0)
    context.record.begin()
    batch = context.datasets.read("test").batch()
    monkeypatch.setattr(time, "perf_counter", lambda: 95.0)
    context.predict("late", tinted, batch)

    def kept():
        """As if it was killed now."""
        return Record.pin(context.run, {"slug": "toy", "seed": 2}, "rule").seconds

    assert kept() == 85.0
    monkeypatch.setattr(time, "perf_counter", lambda: 95.9)
    context.predict("soon", tinted, batch)
    assert kept() == 85.0
    context.record.end()
    assert kept() == 85.9


def test_draws_keep_the_order_and_digests_follow_the_content(context):
    train = context.datasets.read("train")
    drawn = train.drawn(10, np.random.default_rng(0))
    places = [train.ids.index(i) for i in drawn.ids]
    assert places == sorted(set(places))
    assert drawn.digest == train[torch.tensor(places)].digest != train.digest
    assert train.relabelled(train.labels.roll(1)).digest != train.digest


def test_data_without_labels_and_data_that_changed_are_refused(context, tmp_path):
    with pytest.raises(DataError, match="no-such-set"):
        context.datasets.read("train", f"folder:{tmp_path}/no-such-set")
    context.record.add_input("data x", "one")
    again = Record.pin(context.run, {"slug": "toy", "seed": 2}, "rule")
    with pytest.raises(RunError, match="data x has changed since its rows were made"):
        again.add_input("data x", "two")


def test_a_split_is_added_to_the_options_of_a_spec_and_never_in_its_place(context, tints):
    assert context.datasets.read("train", f"{tints}?size=8").images.shape[2:] == (8, 8)
    with pytest.raises(DataError, match="reads the split 'train' by itself; leave split= out"):
        context.datasets.read("train", f"{tints}?size=8&split=test")


def test_repetitions_have_seeds_and_labels_of_their_own(context, tinted):
    batch = context.datasets.read("test").first(4).batch()
    assert [(c.seed, c.prefix) for c in context.repetitions(2)] == [(4, "seed4."), (5, "seed5.")]
    for part in context.repetitions(2):
        part.predict("clean", tinted, batch)
    assert {name: rows.labels() for name, rows in context.rows().repetitions(2).items()} == {
        "seed4": ["clean"],
        "seed5": ["clean"],
    }


def test_a_step_is_done_once_for_a_key(context):
    calls = []

    def compute():
        calls.append(1)
        return {"n": len(calls)}

    assert [context.once("step", k, compute)["n"] for k in (1, 1, 2, 2)] == [1, 1, 2, 2]


def test_rows_bear_the_cost_of_passes_and_searches(context, tinted):
    batch = context.datasets.read("test").first(6).batch()
    part = context.within("seed4")
    part.predict("clean", tinted, batch)
    part.attack("fgsm", tinted, FGSM(), batch, norm="linf", eps=0.1, seed=0)
    found = part.search(tinted, PGD(steps=7), batch, norm="linf", eps=0.5, seed=0)
    part.predict("pgd", tinted, batch, examples=found)
    rows = part.rows()
    assert rows.labels() == ["clean", "fgsm", "pgd"]
    costs = {label: rows.table("outcomes", label).to_pylist()[0] for label in rows.labels()}
    assert (costs["clean"]["method"], costs["clean"]["forwards"], costs["clean"]["backwards"]) == ("clean", 1, 0)
    assert (costs["fgsm"]["eps"], costs["fgsm"]["norm"], costs["fgsm"]["method"]) == (0.1, "linf", "fgsm")
    assert costs["fgsm"]["backwards"] == 1
    assert costs["pgd"]["backwards"] == 7
    assert costs["pgd"]["forwards"] == int(found.forwards[0]) + 1 >= 8
    assert costs["pgd"]["seconds"] > 0
    assert (found.images - batch.images).abs().max() <= 0.5 + 1e-6


def test_an_experiment_reads_the_condition_that_it_asks_for_alone(context, tinted):
    batch = context.datasets.read("test").first(6).batch()
    for label in ("clean", "other"):
        context.predict(label, tinted, batch)
    context.run.write(b"damaged", "rows", "outcomes", "other-00000.parquet")
    assert context.rows().table("outcomes", "clean").num_rows == 6
    for asked in ({"label": "other"}, {}):
        with pytest.raises(RunError, match="other-00000"):
            context.rows().table("outcomes", **asked)


def test_rows_that_are_there_are_not_made_again(context, tinted, monkeypatch):
    batch = context.datasets.read("test").first(6).batch()
    context.attack("pgd", tinted, PGD(steps=2), batch, norm="linf", eps=0.1, seed=0)
    monkeypatch.setattr(tinted, "forward", lambda x: pytest.fail("the model was asked again"))
    context.attack("pgd", tinted, PGD(steps=2), batch, norm="linf", eps=0.1, seed=0)
    context.predict("pgd", tinted, batch)


def test_figures_of_rows_by_hand(context, tinted):
    split = context.datasets.read("test").first(6)
    context.predict("right", tinted, split.batch())
    context.predict("wrong", tinted, split.relabelled((split.labels + (torch.arange(6) < 2)) % 3).batch())
    rows = Rows(context.run, "toy", 2)
    assert rows.accuracy("right")["value"] == 1
    assert rows.accuracy("wrong")["value"] == pytest.approx(4 / 6)
    assert rows.difference("wrong", "right")["value"] == pytest.approx(-2 / 6)
    logits, labels = rows.logits("right")
    assert logits == pytest.approx(split.batch().images.mean((2, 3)).numpy())
    assert labels.tolist() == split.labels.tolist()
    assert list(rows.seeds(3)) == [6, 7, 8]


def test_means_over_seeds():
    found = means([{"a": {"b": x}, "c": 1.0} for x in (0.2, 0.4, 0.9)])
    assert found["a"]["b"] == over_seeds([0.2, 0.4, 0.9]).to_json()
    assert found["c"]["value"] == found["c"]["low"] == 1


def test_means_over_seeds_have_the_range_of_shares_or_of_differences():
    seeds = [{"net": {"auroc": x, "ahead": {"msp": x - 1}}} for x in (0.75, 1.0, 0.5)]
    found = means(seeds, low=0, high=1, differences=["ahead"])["net"]
    assert found["auroc"] == over_seeds([0.75, 1.0, 0.5], low=0, high=1).to_json()
    assert found["ahead"]["msp"] == over_seeds([-0.25, 0.0, -0.5], low=-1, high=1).to_json()


@pytest.fixture
def tabled(tmp_path):
    folder = tmp_path / "toy_tables"
    folder.mkdir()
    keys = ("title", "claim", "reference", "data", "model", "rule")
    table = 'tables.heights = { metres = "double", of = "string[]" }'
    (folder / "claim.toml").write_text("\n".join([*(f'{key} = "none"' for key in keys), table]))

    @row(folder)
    class Tabled(Paper):
        """A paper with a table."""

        def judge(self, measured: Mapping[str, Any]) -> list:
            return []

    yield Tabled
    forget_row("toy-tables")
    TABLES.pop("toy_tables_heights", None)


def test_a_table_stands_in_the_namespace_of_its_paper(context, tabled, monkeypatch):
    register_tables([tabled])
    toy = Context(
        "toy-tables", 0, context.run, context.data, "small", False, context.record, context.datasets, prefix="s0."
    )
    toy.write("heights", "towers", {"id": ["a", "b"], "metres": [1.5, 2.0], "of": [["x"], []]})
    assert toy.has("towers", "heights")
    assert context.run.names("rows", "toy_tables_heights") == ["s0.towers-00000.parquet"]
    assert toy.rows().table("heights", "towers")["of"].to_pylist() == [["x"], []]
    register_tables([tabled])
    monkeypatch.setattr(tabled, "tables", {"heights": {"feet": "double"}})
    with pytest.raises(ValueError, match="toy_tables_heights"):
        register_tables([tabled])
    monkeypatch.setattr(tabled, "tables", {"outcomes": {"feet": "double"}})
    with pytest.raises(ValueError, match="toy-tables: the table 'outcomes' is one of the house"):
        register_tables([tabled])


def test_columns_are_read_by_condition_in_the_order_that_is_asked_for(context, tabled):
    register_tables([tabled])
    toy = Context("toy-tables", 0, context.run, "", "", False, context.record, context.datasets, prefix="s0.")
    for context_, ids in ((toy, "bac"), (toy.within("high"), "ba")):
        context_.write(
            "heights", "towers", {"id": list(ids), "metres": [2.0, 1.0, 3.0][: len(ids)], "of": [["x"]] * len(ids)}
        )
    rows = toy.rows()
    assert rows.column("heights", "towers", "metres").tolist() == [2, 1, 3]
    ids, metres = rows.columns("heights", "towers", "id", "metres", by="id")
    assert (ids.tolist(), metres.tolist()) == (["a", "b", "c"], [1, 2, 3])
    found = Rows(context.run, "toy-tables", 0, "s0.").arrays("heights", "metres", "id")
    assert {label: part["metres"].tolist() for label, part in found.items()} == {
        "high.towers": [2, 1],
        "towers": [2, 1, 3],
    }
    assert found["high.towers"]["id"].tolist() == ["b", "a"]
    assert list(Rows(context.run, "toy-tables", 0, "s0.high.").arrays("heights", "id")) == ["towers"]


def test_parts_and_single_rows_are_written_as_one_table(context, tabled):
    register_tables([tabled])
    toy = Context("toy-tables", 0, context.run, "", "", False, context.record, context.datasets)
    named = {"id": ("a", "b"), "of": [["x"], []]}
    toy.write("heights", "parts", [{**named, "metres": torch.tensor([1.0, 2.0])}, {**named, "metres": 3.0}])
    assert toy.rows().column("heights", "parts", "metres").tolist() == [1, 2, 3, 3]
    assert toy.rows().column("heights", "parts", "id").tolist() == ["a", "b", "a", "b"]
    toy.write("heights", "rows", [{"id": name, "metres": 0.5, "of": None} for name in "cd"])
    assert toy.rows().column("heights", "rows", "id").tolist() == ["c", "d"]


def test_grey_images_by_class(context):
    one, zero = context.datasets.grey_by_class("test", [1, 0], 5)
    test = context.datasets.read("test")
    assert one.shape == (5, 1, 12, 12)
    assert torch.equal(zero[0], test.images[:1].float().mean(1).round().byte())  # the first image is of class 0
    with pytest.raises(DataError, match="the classes 1, 7 must all have images"):
        context.datasets.grey_by_class("test", [1, 7], 5)


@pytest.mark.parametrize("name", sorted(table_modules()))
def test_the_tables_of_the_house_are_declared_where_it_is_said(name):
    assert table_name("toy", name) == name
    assert name in TABLES


def test_split_of_what_was_made_here():
    made = Split.of(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.tensor([0, 1]), classes=5)
    assert (made.classes, made.ids) == (5, ("0", "1"))
