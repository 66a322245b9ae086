"""The passes that a sample is said to have needed do not depend on its neighbours."""

from __future__ import annotations

import pytest

import unshaken


def passes(attack, batch_size, out):
    norm = {"norm": "l2", "eps": 0.5} if attack.startswith("deepfool") else {"eps": "4/255"}
    done = unshaken.attack(
        "demo", "demo", attack, **norm, limit=12, batch_size=batch_size, out=out, workers=1, save_examples=0
    )
    rows = done.run.rows("outcomes").to_pylist()
    return {(r["condition"], r["id"]): (r["forwards"], r["backwards"]) for r in rows}


@pytest.mark.parametrize("attack", ["pgd:steps=6", "apgd:steps=6", "deepfool:steps=6"])
def test_passes_of_a_sample_do_not_depend_on_the_batch(attack, tmp_path):
    alone = passes(attack, 1, tmp_path / "alone")
    assert passes(attack, 12, tmp_path / "together") == alone
    assert len({backwards for _, backwards in alone.values()}) > 2
