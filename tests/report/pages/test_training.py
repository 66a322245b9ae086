from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import binomtest

import unshaken
from unshaken.cli.app import main
from unshaken.core.errors import RunError
from unshaken.report import compare_runs, write_comparison
from unshaken.report.pages.training import TRAINING
from unshaken.report.read.training import read_before_after, read_training
from unshaken.store.config import Entry
from unshaken.store.run_dir import RunDir

HOSTILE = "<script>alert(1)</script>"
CONFIG: dict[str, Any] = {
    "schema": 1,
    "model": "small",
    "data": "fashion-mnist?split=train&size=28",
    "recipes": ["fgsm-rs:eps=0.03137254901960784", "ema:decay=0.9"],
    "training": {
        "epochs": 4, "batch_size": 64, "lr": 0.1, "schedule": "one-cycle", "milestones": [0.5, 0.75], "clip": 1.5,
        "held_out": 1000, "check_images": 50, "check_steps": 20, "select": "auto", "precision": "fp32",
        "inner_precision": "fp32", "seed": 3,
    },
    "arch": "small",
    "classes": ["shirt", "boot"],
    "shape": {"classes": 2, "channels": 1, "side": 28},
    "data_fingerprint": "cd" * 32,
    "images": {"usable": 1200, "held_out": 200},
    "processes": 1,
    "provenance": {"torch": "2.9", "machine": "abacus"},
}  # fmt: skip
CURVES = [
    {"held_accuracy": 0.5, "held_robust": 0.3, "train_fgsm": 0.4, "train_robust": 0.3},
    {"held_accuracy": 0.6, "held_robust": 0.48, "train_fgsm": 0.6, "train_robust": 0.5},
    {"held_accuracy": 0.7, "held_robust": 0.48, "train_fgsm": 0.62, "train_robust": 0.55},
    {"held_accuracy": 0.8, "held_robust": 0.02, "train_fgsm": 0.9, "train_robust": 0.05},
]
FLAG = (
    "at epoch 4: on training images 90.0% withstand FGSM but 5.0% PGD (best 55.0%); take n-fgsm, gradalign, or several "
    "steps (at)"
)


def figure(right: int, n: int) -> dict[str, Any]:
    """A share with the interval of an independent implementation."""
    exact = binomtest(right, n).proportion_ci(0.95, "exact")
    return {"value": right / n, "low": exact.low, "high": exact.high, "n": n, "interval": "clopper-pearson 95%"}


RESULT = {
    "chosen_epoch": 2,
    "chosen_by": "robust",
    "epochs": 4,
    "stopped_early": False,
    "threat": {"norm": "linf", "eps": 8 / 255},
    "figures": {"held_accuracy": figure(120, 200), "held_robust": figure(24, 50)},
    "flags": [{"name": "catastrophic-overfitting", "detail": f"catastrophic overfitting {FLAG}", "ids": []}],
    "cost": {"forwards": 40000, "backwards": 32000, "seconds": 80.0},
}


def records(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    """Curves with what every epoch has: loss 2, 1, ..., passes and seconds that grow evenly."""
    return [
        {"epoch": float(i), "lr": 0.1 - 0.02 * i, "loss": 2.0 / (i + 1), **r, "seconds": 20.0 * (i + 1),
         "forwards": 10000.0 * (i + 1), "backwards": 8000.0 * (i + 1)}
        for i, r in enumerate(rows)
    ]  # fmt: skip


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., RunDir]:
    """Writes the directory of a training run by hand."""

    def write(rows: list[dict[str, float]] | None = CURVES, *, result: Any = RESULT, **changes: Any) -> RunDir:
        run, config = RunDir(tmp_path / "run"), copy.deepcopy(CONFIG)
        config["training"] |= changes.pop("training", {})
        run.write_json(config | changes | {"result": result}, "harden.json")
        if rows is not None:
            full = records(rows)
            names = list(dict.fromkeys(k for r in full for k in r))
            table = pa.table({n: pa.array([r.get(n) for r in full], pa.float64()) for n in names})
            buffer = io.BytesIO()
            pq.write_table(table, buffer)
            run.write(buffer.getvalue(), "curves.parquet")
        return run

    return write


def pages(run: RunDir) -> tuple[str, str]:
    """`report.html` and `report.md`."""
    TRAINING.write(run)
    return run.read("report.html").decode(), run.read("report.md").decode()


class Text(HTMLParser):
    """The tags of a page with their attributes, and its visible text in one line."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._parts: list[str] = []
        self.feed(page)
        self.text = " ".join(" ".join(self._parts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self._parts.append(data)


GOLDEN = """\
# How robust is small after training?

It was trained by fgsm-rs and ema for 4 epochs on 1,000 images; 200 more were held out. Of 4 epochs the weights of \
epoch 2 are kept: the accuracy under PGD-20 L∞, ε 8/255 on held-out images is highest there.

**Next:** audit the kept weights on images that training has not seen, by the commands below.

- **catastrophic overfitting**. Seen: at epoch 4: on training images 90.0% withstand FGSM but 5.0% PGD \\(best \
55.0%\\); take n-fgsm, gradalign, or several steps \\(at\\).

Accuracy on held-out images.

| held-out images | accuracy | n |
| --- | ---: | ---: |
| unchanged | 60.0 % (52.9 to 66.8 %) | 200 |
| PGD-20 L∞, ε 8/255 | 48.0 % (33.7 to 62.6 %) | 50 |

**The held-out images chose the epoch, so their figures are too high.** For a fair figure measure the kept model on \
images that it has not seen:

```sh
unshaken audit --model run:{run} --data 'fashion-mnist?split=test&size=28'
unshaken attack --model run:{run} --data 'fashion-mnist?split=test&size=28' --method auto --norm linf --eps 8/255
```
"""
TABLE = """\
| epoch | learning rate | training loss | held-out, clean | held-out, robust | training, FGSM | training, PGD \
| seconds | forwards | backwards |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| 1 | 0.1 | 2 | 50.0 % | 30.0 % | 40.0 % | 30.0 % | 20 s | 10,000 | 8,000 |
| 2 \\(kept\\) | 0.08 | 1 | 60.0 % | 48.0 % | 60.0 % | 50.0 % | 40 s | 20,000 | 16,000 |
| 3 | 0.06 | 0.667 | 70.0 % | 48.0 % | 62.0 % | 55.0 % | 1 min 0 s | 30,000 | 24,000 |
| 4 | 0.04 | 0.5 | 80.0 % | 2.0 % | 90.0 % | 5.0 % | 1 min 20 s | 40,000 | 32,000 |
"""


def test_the_plain_text_says_it_all_in_known_words(make: Callable[..., RunDir]) -> None:
    run = make()
    _, text = pages(run)
    assert text.startswith(GOLDEN.replace("{run}", str(run)))
    assert TABLE in text
    assert "| `clip` | 1.5 | none | largest l2 norm of the gradient; None for any |" in text
    assert "| `seed` | 3 | 0 |" in text
    assert "schedule" not in text
    assert "- forward passes: 40,000\n- backward passes: 32,000\n- time: 1 min 20 s 20 s an epoch" in text
    assert "- torch: 2.9\n- machine: abacus" in text


def test_the_page_says_the_same_and_fetches_nothing(make: Callable[..., RunDir]) -> None:
    run = make(model=f"py:net.py:{HOSTILE}", data=f"folder:```{HOSTILE}?split=train")
    page, text = pages(run)
    seen = Text(page)
    assert HOSTILE not in page
    before, code, after = text.split("````")
    assert HOSTILE not in before + after
    assert code.startswith("sh\nunshaken audit ")
    links = [v for _, a in seen.tags for k, v in a.items() if k in ("src", "href", "xlink:href") and v]
    assert all(v.startswith(("#", "data:")) for v in links)
    assert [t for t, _ in seen.tags].count("script") == 1
    for part in ("60.0 % 52.9 to 66.8 %, 200 images", "48.0 % 33.7 to 62.6 %, 50 images", "epoch kept 2 of 4",
                 "1 min 20 s 72,000 passes", "▲ catastrophic overfitting", f"{FLAG}.", "clip 1.5 none",
                 "FGSM-RS:", "Wong et al. 2020, arXiv:2001.03994", "decay 0.9 0.995"):  # fmt: skip
        assert part in seen.text.replace("\N{NO-BREAK SPACE}", " "), part


def test_doubts_stand_above_the_figures_in_a_box_of_their_own(make: Callable[..., RunDir]) -> None:
    page, _ = pages(make())
    assert page.index('class="note bad" aria-label="Flag catastrophic overfitting"') < page.index('class="tiles"')
    page, text = pages(make(result=RESULT | {"flags": []}))
    assert "Flag" not in page + text


def test_the_kept_epoch_is_marked_in_every_plot(make: Callable[..., RunDir]) -> None:
    page, _ = pages(make([{**r, "alignment": 0.9, "novel_figure": -1.0} for r in CURVES]))
    plots = page.split('<figure class="card plot"')[1:]
    titles = [p.split("<figcaption>")[1].split("<")[0] for p in plots]
    assert titles == ["Held-out images, per cent right", "Training images, per cent right", "Loss",
                      "Learning rate at the end of the epoch", "Alignment of input gradients",
                      "Novel figure"]  # fmt: skip
    for plot in plots:
        assert '<line class="chosen" x1="33.33%" x2="33.33%"' in plot
        assert ">epoch 2 kept</text>" in plot
    assert 'points="0,50 33.33,40 66.67,30 100,20"' in plots[0]
    assert 'points="0,70 33.33,52 66.67,52 100,98"' in plots[0]
    assert 'points="0,0 33.33,50 66.67,66.67 100,75"' in plots[2]
    assert "epoch 4, withstands FGSM: 90.0 %" in plots[1]


def test_where_the_starting_weights_are_kept_no_epoch_is_marked(make: Callable[..., RunDir]) -> None:
    page, text = pages(make(result=RESULT | {"chosen_epoch": 0, "start_kept": "no epoch was better"}))
    assert "Not repaired: no epoch was better. What may help:" in Text(page).text
    assert 'class="chosen"' not in page
    assert "epoch that is kept" not in page
    assert text.count("no epoch was better") == 1


def test_an_interrupted_run_says_so_and_judges_what_is_there(make: Callable[..., RunDir]) -> None:
    run = make(CURVES[:3], result=None)
    page, text = pages(run)
    assert "**The run has not ended:** 3 of 4 epochs are done." in text
    assert "the same command with --resume goes on" in page
    assert "the weights of epoch 2 are kept so far" in text  # of equal ones the first
    assert "| unchanged | 60.0 % (52.9 to 66.8 %) | 200 |" in text
    assert "Flag" not in page
    story = read_training(run)
    assert story.figures == {
        "held_accuracy": pytest.approx(figure(120, 200)),
        "held_robust": pytest.approx(figure(24, 50)),
    }
    assert story.cost == {"forwards": 30000, "backwards": 24000, "seconds": 60}


def test_an_interrupted_run_has_the_flags_that_its_curves_raise(make: Callable[..., RunDir]) -> None:
    _, text = pages(make(result=None, training={"epochs": 9}))
    assert f"- **catastrophic overfitting**. Seen: {FLAG}".replace("(", "\\(").replace(")", "\\)") in text


@pytest.mark.parametrize(("select", "kept"), [("clean", 4), ("last", 4), ("robust", 2)])
def test_before_the_end_the_best_epoch_is_that_of_the_rule(make: Callable[..., RunDir], select: str, kept: int) -> None:
    story = read_training(make(result=None, training={"select": select}))
    assert story.chosen == kept - 1


def test_a_run_that_has_just_begun_has_no_figures(make: Callable[..., RunDir]) -> None:
    page, text = pages(make(None, result=None))
    assert "no epoch is done" in text
    assert "unshaken audit" not in text + page
    assert "Curves" not in text + page


def test_epochs_without_a_check_are_dashes_and_gaps(make: Callable[..., RunDir]) -> None:
    page, text = pages(make([CURVES[0], {}, CURVES[2], CURVES[3]]))
    assert "| 2 \\(kept\\) | 0.08 | 1 | – | – | – | – | 40 s |" in text
    assert 'points="0,50 66.67,30 100,20"' in page


def test_plain_training_has_no_words_of_attacks(make: Callable[..., RunDir]) -> None:
    plain = RESULT | {"threat": None, "chosen_by": "clean", "figures": {"held_accuracy": figure(120, 200)}, "flags": []}
    rows = [{"held_accuracy": r["held_accuracy"]} for r in CURVES]
    plain |= {"stopped_early": True}
    page, text = pages(make(rows, result=plain, recipes=[], data="folder:photos", training={"check_steps": 10}))
    assert "trained by plain cross-entropy" in text
    assert "stopped early" in text
    assert "with their SPEC in the place of `DATA`" in text
    assert "unshaken audit --model" in text
    assert not any(word in text + page for word in ("FGSM", "PGD", "unshaken attack", "withstands"))


def test_a_recipe_that_is_not_installed_keeps_its_line(make: Callable[..., RunDir]) -> None:
    page, text = pages(make(recipes=["of-a-plug-in:x=1"]))
    assert "**of-a-plug-in:x=1** No recipe of this name is installed here" in text
    assert "of-a-plug-in:x=1" in page


# A real run, and the command.


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "run"
    recipes = ["at:eps=0.1,steps=1", "ema"]
    unshaken.harden(
        "small", "demo", recipes, out=out, epochs=1, limit=200, batch_size=64, check_images=30, device="cpu"
    )
    return out


def test_a_run_that_ends_has_its_pages_with_intervals_of_its_curves(trained: Path) -> None:
    text = (trained / "report.md").read_text(encoding="utf-8")
    (record,) = pq.read_table(trained / "curves.parquet").to_pylist()
    for column, n, name in (("held_accuracy", 40, "unchanged"), ("held_robust", 30, "PGD-10 L∞, ε 0.1")):
        f = figure(round(record[column] * n), n)
        interval = f"{100 * f['low']:.1f} to {100 * f['high']:.1f} %"
        assert f"| {name} | {100 * record[column]:.1f} % ({interval}) | {n} |" in text
    assert "by at and ema for 1 epoch on 160 images; 40 more" in text
    page = (trained / "report.html").read_text(encoding="utf-8")
    assert "<title>small: training report</title>" in page


def test_report_makes_the_pages_again_from_the_directory_alone(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("report.html", "report.md")
    before = {n: (trained / n).read_bytes() for n in names}
    for name in names:
        (trained / name).unlink()
    assert main(["report", str(trained)]) == 0
    assert capsys.readouterr().out == f"report: {trained}/report.html\n"
    assert {n: (trained / n).read_bytes() for n in names} == before
    assert main(["report", str(trained), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recipes"] == ["at:eps=0.1,steps=1", "ema"]


def test_the_command_of_the_page_measures_the_model(trained: Path, tmp_path: Path) -> None:
    text = (trained / "report.md").read_text(encoding="utf-8")
    line = next(x for x in text.splitlines() if x.startswith("unshaken attack")).replace("DATA", "demo")
    words = [*line.split()[1:], "--limit", "4", "--out", str(tmp_path / "out"), "--quiet"]
    assert main(words) == 0
    assert json.loads((tmp_path / "out" / "run.json").read_text())["model"] == f"run:{trained}"


# Bad input.


def cut(text: str) -> bytes:
    return text[: len(text) // 2].encode()


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("harden.json", cut, "harden.json is damaged"),
        ("harden.json", lambda t: t.replace('"arch"', '"ark"').encode(), r"harden.json is damaged \(\w+: "),
        (
            "harden.json",
            lambda t: t.replace('"flags"', '"flag"').encode(),
            r"result is damaged \(flags: Field required",
        ),
        ("curves.parquet", lambda t: b"PAR1", "curves.parquet is damaged .* delete it for pages without curves"),
    ],
)
def test_a_damaged_file_is_named(make: Callable[..., RunDir], name: str, change: Any, message: str) -> None:
    run = make()
    text = run.read(name).decode() if name.endswith("json") else ""
    run.write(change(text), name)
    with pytest.raises(RunError, match=message):
        TRAINING.write(run)


def test_a_directory_of_neither_kind_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photos").mkdir()
    assert main(["report", str(tmp_path / "photos")]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"unshaken: {tmp_path}/photos: not a run directory (no run.json)\n")
    with pytest.raises(RunError, match=r"no harden\.json there"):
        read_training(RunDir(tmp_path / "photos"))


# In a browser.


@pytest.mark.browser
@pytest.mark.parametrize("width", [320, 390, 1200])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_and_can_be_read(
    make: Callable[..., RunDir], offline: Any, contrast: str, width: int, scheme: str
) -> None:
    page, _ = pages(make([{**r, "alignment": 0.9} for r in CURVES], model="py:some/long/folder/with/a/net.py:build_it"))
    tab, troubles = offline(page, width=width, scheme=scheme)
    tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert troubles == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate(contrast) == []


# Of a repair: before and after.


@pytest.fixture
def repaired(make: Callable[..., RunDir], make_run: Callable[..., RunDir]) -> RunDir:
    """A training run that repairs a model: fewer images are wrong under each change afterwards."""
    run = make()
    plan = [Entry(method="fog", severities=(1, 5)), Entry(method="pgd", eps=("8/255",))]
    runs = [make_run("before", plan=plan, n=160), make_run("after", plan=plan, n=160, shift=-2.0)]
    write_comparison(RunDir(f"{run}/before-after"), compare_runs(runs))
    return run


def test_a_repair_shows_before_and_after_first(repaired: RunDir) -> None:
    page, text = pages(repaired)
    assert page.index('id="before-after"') < page.index('id="training"') < page.index('id="trained"')
    shown = Text(page).text.replace("\N{NO-BREAK SPACE}", " ")
    assert "Before and after, on the same 160 images, from 87.5 to 87.5 % on unchanged images: better under 3" in shown
    assert "greatest gain 50.0 to 75.0 % PGD L∞, ε 8/255: +25.0 points (" in shown
    plain = text.replace("\\", "")
    assert "| fog, severity 5 | 37.5 % | 62.5 % | +25.0 (" in plain
    assert "| unchanged images | 87.5 % | 87.5 % | +0.0 (" in plain


def test_what_was_compared_is_read_as_it_was_written(repaired: RunDir) -> None:
    found = read_before_after(repaired)
    assert found is not None
    written = repaired.read_json("before-after", "compare.json")
    assert [one["verdict"] for one in written.pop("gates")] == ["none", "none"]
    assert written == {"schema": 1, "comparisons": [found.to_json()], "effective_robustness": []}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"comparisons": []}, "comparisons"),
        ({"comparisons": [{"n": 3}]}, "baseline"),
        ({"comparisons": "none"}, "comparisons"),
    ],
)
def test_a_damaged_comparison_is_told(repaired: RunDir, change: dict[str, Any], why: str) -> None:
    repaired.write_json(change, "before-after", "compare.json")
    with pytest.raises(RunError, match=f"compare.json is damaged .*{why}"):
        TRAINING.write(repaired)
