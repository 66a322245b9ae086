from __future__ import annotations

from collections.abc import Callable

from unshaken.report import build
from unshaken.report.markdown import render_markdown
from unshaken.run import RunDir
from unshaken.run.plan import Entry

Make = Callable[..., RunDir]


def test_turns_and_nearest_examples_are_tables(make_run: Make) -> None:
    plan = [Entry(method="pgd", eps=("2/255", "8/255"))]
    text = render_markdown(build(make_run(plan=plan, attacks=True)))
    assert "| PGD L∞, ε 2/255, 1. even | 42 | 6 | 75.0 % | 60.4 to 86.4 % | 13.1 | 1 s |" in text
    # 1170 passes within 2/255 and 900 within 8/255, of 48 samples
    assert "2. odd: why \\<script\\>alert\\(1\\)\\</script\\> | 30 | 6 | 50.0 % | 35.2 to 64.8 % | 43.1 | 1 s |" in text
    assert "<script>" not in text
    assert "| DeepFool L2 | 71.4 % | 0.4 (" in text
    assert "half of the images that are right when unchanged are broken within ε 0.4 (" in text


def test_without_attacks_there_is_no_such_part(make_run: Make) -> None:
    text = render_markdown(build(make_run(plan=[Entry(method="fog", severities=(3,))])))
    assert "turn by turn" not in text
    assert "Nearest examples" not in text
    assert "All attacks together" not in text
