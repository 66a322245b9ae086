"""`unshaken labels train` on the command line: the same run as `unshaken harden`, with a recipe for noisy labels."""

from __future__ import annotations

import json

from unshaken.core.registry import list_methods

FEW = ["--epochs", "1", "--batch-size", "32", "--limit", "100", "--set", "check_images=16", "-q"]
NOISY = ["--data", "demo?noise=symmetric:0.2"]


def recipes(run):
    return json.loads((run / "harden.json").read_text())["recipes"]


def test_elr_unless_another_recipe_is_asked_for(unshaken, tmp_path):
    runs = [tmp_path / name for name in ("usual", "named", "harden")]
    assert unshaken("labels", "train", *NOISY, "--model", "small", *FEW, "--out", str(runs[0])).code == 0
    two = ["--recipe", "co-teaching:rate=0.2", "--recipe", "crop-flip"]
    assert unshaken("labels", "train", *NOISY, *two, "--model", "small", *FEW, "--out", str(runs[1])).code == 0
    assert [recipes(run) for run in runs[:2]] == [["elr"], ["co-teaching:rate=0.2", "crop-flip"]]
    same = ["harden", *NOISY, "--recipe", "elr", "--model", "small", *FEW, "--out", str(runs[2])]
    assert unshaken(*same).code == 0
    assert len({(run / "model.safetensors").read_bytes() for run in (runs[0], runs[2])}) == 1


def test_its_help_lists_the_recipes_for_noisy_labels(unshaken):
    text = " ".join(unshaken("labels train --help").out.replace("│", " ").split())
    ours = [m.name for m in list_methods("harden") if m.tags.get("group") == "noisy-labels"]
    assert len(ours) > 6
    assert ", ".join(sorted(ours)) in text


def test_a_missing_rate_is_one_line(unshaken):
    result = unshaken("labels", "train", *NOISY, "--recipe", "co-teaching", *FEW)
    assert (result.code, result.err) == (2, "unshaken: co-teaching: parameter 'rate' is missing\n")
