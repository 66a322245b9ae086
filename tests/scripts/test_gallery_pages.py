"""The gallery of pages, and what a first-time user reads on the first screen of each."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
import gallery_pages

sys.path.pop(0)

ANSWERS = {
    "audit": {
        "which change is worst?": r"takes [0-9.]+ points|left with [0-9.]+ %",
        "how good is it without one?": r"unchanged images [0-9.]+ % [0-9.]+ to [0-9.]+ %",
        "what next?": "Next: unshaken harden --from DIR",
    },
    "attack": {
        "how many withstand the attack?": r"worst attack [0-9.]+ % auto L∞, ε 0.1",
        "may I trust it?": "reasons? to doubt",
    },
    "certify": {"how many are proven?": r"Proven: [0-9.]+ % \([0-9.]+ to [0-9.]+ %\)", "what next?": "Next: "},
    "detect": {"how many abnormal images are rejected?": r"rejects [0-9.]+ % \(", "what next?": "Next: "},
    "explain": {"is a map better than chance?": "is (not shown to be )?(better|worse)", "what next?": "Next: "},
    "compare": {"which model is better?": r"better under \d+, worse under \d+", "what next?": "Next: "},
    "evaluate": {"how accurate is it?": r"[0-9.]+ % of the queries \(", "what next?": "Next: --gate"},
    "labels": {
        "which labels shall I look at?": r"suspect labels \d+ of 200",
        "what next?": "Next: unshaken labels review",
    },
    "generate": {"what is a generated image worth?": "one real image is worth", "what next?": "Next: "},
    "inspect": {
        "how many images are pointed at?": r"\d+ of 200 images are pointed at",
        "by which check most?": r"name all\. share low information [0-9.]+ % [0-9.]+ to [0-9.]+ %",
        "what next?": "Next: look at the images below",
    },
    "drift": {
        "does it differ?": r"[Nn]o difference from the reference is shown, at a level of 5%|differs",
        "what next?": "Next: --gate",
    },
    "map": {"how good is it?": r"accuracy on 100 unchanged images of demo is [0-9.]+ %", "what next?": "Next: "},
    "texture": {"does it tile better than the photo?": r"the photo scores [0-9.]+, .* the loss chose [0-9.]+"},
    "matrix": {"which model is best?": r"correct under every change: .* best of 2"},
    "board": {"which model is best?": r"correct under every change: .* best of 2"},
    "harden": {"how good is the trained model?": r"held-out, unchanged images [0-9.]+ %", "what next?": "Next: audit"},
}
"""Questions of each page, with what answers them, before any part of it is opened."""
TALLEST = 4000
FIRST = "[...document.querySelectorAll('main > :not(.part)')].map(e => e.innerText).join(' ')"


def test_a_gallery_stands_beside_an_earlier_one(tmp_path: Path) -> None:
    before, out = tmp_path / "before", tmp_path / "out"
    before.mkdir()
    shots = [f"audit-{width}-{scheme}" for width in (1280, 390) for scheme in ("light", "dark")]
    (before / "heights.json").write_text(json.dumps(dict.fromkeys(shots, 2000)))
    page = gallery_pages.index(["audit"], dict.fromkeys(shots, 1500), out, before)
    assert page.count("2,000 → 1,500") == 4
    assert page.count("../before/audit-390-dark.png") == 2
    assert page.count('<img loading="lazy"') == 8
    alone = gallery_pages.index(["audit"], dict.fromkeys(shots, 1500), out, None)
    assert "before" not in alone
    with pytest.raises(SystemExit, match=r"--before: .*has no heights.json"):
        gallery_pages.main(out, tmp_path / "runs", tmp_path)


@pytest.mark.long
@pytest.mark.browser
def test_the_first_screens_of_all_kinds_of_runs_answer_their_questions(
    tmp_path: Path, browser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.serve.browsing import barriers_of

    monkeypatch.chdir(tmp_path)
    gallery_pages.make_all(tmp_path / "runs")
    found = dict[str, Any]()
    for name, file in gallery_pages.every_page(tmp_path / "runs").items():
        for width in (1280, 390):
            tab = browser.new_page(viewport={"width": width, "height": 844})
            tab.goto(file.as_uri())
            text = re.sub(r"\s+", " ", tab.evaluate(FIRST))
            open_questions = [question for question, answer in ANSWERS[name].items() if not re.search(answer, text)]
            height = tab.evaluate("document.documentElement.scrollHeight")
            troubles = [*open_questions, *barriers_of(tab)]
            troubles += [f"{height} pixels tall"] if width == 1280 and height > TALLEST else []
            tab.close()
            if troubles:
                found[f"{name} at {width}"] = troubles, text
    assert found == {}
