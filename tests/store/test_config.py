"""`run.json`: comes back as it was, and tells what differs."""

from __future__ import annotations

import pytest

from unshaken.core.errors import RunError
from unshaken.run import load_plan
from unshaken.store.config import NAME, RunConfig, check_same, read_config
from unshaken.store.provenance import provenance
from unshaken.store.run_dir import RunDir


def config(**changes):
    return RunConfig(
        schema=1,
        **{
            "model": "demo",
            "data": "demo",
            "plan": load_plan([{"method": "fog", "severities": [1]}]),
            "ids": [f"s{i}" for i in range(10)],
            "shard_size": 4,
            "model_fingerprint": "m",
            "data_fingerprint": "d",
            "model_name": "net",
            **changes,
        },
    )


@pytest.fixture
def run(tmp_path):
    return RunDir(tmp_path / "run")


def test_comes_back_as_it_was(run):
    before = config(plan=load_plan("quick"), limit=3, provenance=provenance())
    run.write_json(before.to_json(), NAME)
    assert run.read_json(NAME)["schema"] == 1
    assert read_config(run) == before
    check_same(run, read_config(run), before)


def test_shards_hold_every_sample_once():
    c = config()
    assert c.shards == 3
    assert [c.shard_ids(i) for i in range(3)] == [["s0", "s1", "s2", "s3"], ["s4", "s5", "s6", "s7"], ["s8", "s9"]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 1}, "seed: 0 there, 1 now"),
        ({"model_fingerprint": "x"}, "model_fingerprint: m there, x now"),
        ({"data_fingerprint": "x"}, "data_fingerprint: d there, x now"),
        ({"precision": "bf16"}, "precision: fp32 there, bf16 now"),
        ({"shard_size": 5}, "shard_size: 4 there, 5 now"),
        ({"ids": ["s1"]}, "ids: "),
        ({"ids": [f"t{i}" for i in range(100)]}, "ids: .* there, 100 entries now"),
        ({"plan": load_plan(["fog"])}, "plan: "),
        ({"save_examples": 1}, "save_examples: 20 there, 1 now"),
        ({"further_models": {"demo": "x"}}, "further_models: "),
    ],
)
def test_another_configuration_is_refused_with_the_difference(run, change, words):
    with pytest.raises(RunError, match=words) as caught:
        check_same(run, config(), config(**change))
    assert "\n" not in str(caught.value)
    assert "choose another --out" in str(caught.value)


def test_the_same_weights_on_photos_that_are_cut_otherwise_are_refused(run):
    with pytest.raises(RunError, match=r"\(view: centre 8 x 8 cut there, centre 32 x 32 cut now\)"):
        check_same(run, config(view="centre 8 x 8 cut"), config(view="centre 32 x 32 cut"))


def test_another_factory_of_one_file_is_refused(run):
    before = config(model="py:nets.py:plain?mean=0.5&std=1")
    with pytest.raises(RunError, match=r"\(model: py:nets.py:plain.* there, py:nets.py:blurred.* now\)"):
        check_same(run, before, config(model="py:nets.py:blurred?mean=0.5&std=1"))
    check_same(run, before, config(model="py:moved/nets.py:plain?std=1&mean=0.5"))


def test_what_was_named_and_has_another_content_is_named_again(run):
    before = config(further_models={"demo": "x", "masks": "1"})
    with pytest.raises(RunError, match=r"\(further_models: the content of 'masks' is another one\)"):
        check_same(run, before, config(further_models={"demo": "x", "masks": "2"}))


def test_two_differences_are_both_named(run):
    with pytest.raises(RunError, match=r"\(seed: 0 there, 1 now; shard_size: 4 there, 5 now\)"):
        check_same(run, config(), config(seed=1, shard_size=5))


def test_what_does_not_decide_rows_may_differ(run):
    other = config(provenance={"torch": "9"}, device="cuda", model="weights:x", data="y", plan_name="mine", view="v")
    check_same(run, config(), other)


def test_absent_and_damaged(run):
    with pytest.raises(RunError, match=r"not a run directory \(no run\.json\)"):
        read_config(run)
    run.write_json({"schema": 1}, NAME)
    with pytest.raises(RunError, match=r"run\.json is damaged \(model: Field required\)"):
        read_config(run)
    run.write_json({**config().to_json(), "schema": 2}, NAME)
    with pytest.raises(RunError, match=r"run\.json has the schema 2, of a later version of unshaken"):
        read_config(run)
    for schema in (0, "2", 2.0, True):
        run.write_json({**config().to_json(), "schema": schema}, NAME)
        with pytest.raises(RunError, match=r"run\.json is damaged \(schema"):
            read_config(run)
    run.write(b"{", NAME)
    with pytest.raises(RunError, match=r"run\.json is damaged"):
        read_config(run)
