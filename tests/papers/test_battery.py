"""What every row promises, whatever it claims: a row is in here without an edit, and so is a new one."""

from __future__ import annotations

import ast
import contextlib
import importlib
import json
import shutil
import sys
import tempfile
import types
from collections import Counter
from pathlib import Path

import pytest

from tests.papers.conftest import Drawn, tiny_of, tiny_text
from unshaken.core.errors import ParameterError, RunError, UnshakenError
from unshaken.core.tables import TABLES
from unshaken.core.texts import parse_values
from unshaken.harden.engine.loop import Loop
from unshaken.papers import run_paper
from unshaken.papers.datasets import Datasets
from unshaken.papers.folders import find_row, row_folders
from unshaken.papers.new import write_row
from unshaken.papers.paper import Paper
from unshaken.papers.roles import all_roles_used, choosing
from unshaken.papers.rows import Rows
from unshaken.papers.run import figures_of
from unshaken.papers.table import judge_again
from unshaken.papers.tables import register_tables, table_name
from unshaken.store.run_dir import RunDir

NEW = "freshly-written"
"""The row that `unshaken papers new` writes."""
PAPERS = {slug: find_row(slug) for slug in row_folders()}
PAPERS[NEW] = find_row(str(write_row(Path(tempfile.mkdtemp()) / NEW.replace("-", "_"))))
CHOOSING = {
    "clip-holistic",
    "detection-suite",
    "early-learning-regularization",
    "adaptive-smoothing",
    "ai-image-detector-limits",
    "label-noise-suite",
    "mahalanobis",
    "milan",
    "mixup-calibration",
    "rcal",
    "rigid",
    "robust-weight-signatures",
    "seabird",
    "shape-simplicity-bias",
    "synthetic-scaling",
    "tract",
    "unsafebench",
    "vit-patch",
}
"""Rows whose figures choose something in the tiny run: a threshold, a weight, a method."""
REPRESENTATIVE = {NEW, "adversarial-training", "seabird"}
"""One that was written now, one that trains networks and attacks them, one that chooses a threshold by rows."""
every_row = pytest.mark.parametrize("slug", sorted(PAPERS))
three_rows = pytest.mark.parametrize(
    "slug", [pytest.param(slug, marks=() if slug in REPRESENTATIVE else pytest.mark.long) for slug in sorted(PAPERS)]
)
"""Three representative rows for what the frame does for all of them alike; the others are marked `long`."""


def same(one, other, wall_times=()):
    """The figures of two runs, whether networks came from the cache left aside."""
    apart = ("networks_from_cache", *wall_times)
    left, right = ({k: v for k, v in m.items() if not k.endswith(apart)} for m in (one, other))
    assert left == right


@every_row
def test_figures_come_from_rows_alone(slug, finished, tmp_path, monkeypatch):
    run = finished(slug)
    shutil.copytree(run.out / "rows", tmp_path / "rows")
    shutil.copy(run.out / "paper.json", tmp_path)
    monkeypatch.setenv("UNSHAKEN_CACHE", str(tmp_path / "empty"))
    same(figures_of(tmp_path), run.result.measured)


def without_choosing(source):
    """A module's text with its blocks `with choosing()` undone, one at a time."""
    blocks = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.With) and ast.unparse(node.items[0].context_expr) == "choosing()"
    ]
    for block in blocks:
        lines = source.splitlines()
        lines[block.lineno - 1] = lines[block.lineno - 1].replace("with choosing():", "if True:")
        yield block.lineno, "\n".join(lines)


@every_row
def test_figures_that_judge_by_the_rows_that_chose_are_refused(slug, finished, monkeypatch):
    """Wherever figures choose, they are computed once more without knowing it, and all else by what chose."""
    run = finished(slug)
    settings = json.loads((run.out / "paper.json").read_text())["settings"]
    paper = PAPERS[slug](**{k: v for k, v in settings.items() if k in PAPERS[slug].model_fields})
    package = PAPERS[slug].__module__
    module = importlib.import_module(f"{package}.figures")
    files = [f.stem for f in Path(module.__file__).parent.glob("*.py") if "with choosing():" in f.read_text("utf-8")]
    chosen, modules = [], [importlib.import_module(f"{package}.{name}") for name in files]
    for one in modules:
        monkeypatch.setattr(one, "choosing", lambda: chosen.append(slug) or choosing())

    rows = Rows(RunDir(run.out), slug, settings["seed"], chooses=paper.chooses)

    def refusal(figures):
        """The message with which figures are refused; empty if they are not. The rows' files are read once for all."""
        try:
            with all_roles_used():
                figures(paper, rows)
        except ParameterError as error:
            return str(error)
        return ""

    assert refusal(module.figures) == ""
    assert bool(chosen) == (slug in CHOOSING)
    for one in modules if chosen else ():
        for line, text in without_choosing(Path(one.__file__).read_text(encoding="utf-8")):
            mutant = types.ModuleType(one.__name__)
            with monkeypatch.context() as patch:
                patch.setitem(sys.modules, one.__name__, mutant)  # dataclasses look for their module
                exec(compile(text, one.__file__, "exec"), mutant.__dict__)
                for name, value in vars(module).items():
                    if one is not module and getattr(value, "__module__", "") == one.__name__:
                        patch.setattr(module, name, getattr(mutant, name))
                message = refusal(mutant.figures if one is module else module.figures)
            assert "the rows of" in message, f"{one.__name__}, line {line}: nothing notices that it does not choose"
    if chosen:
        with choosing():
            assert "the rows of" in refusal(module.figures)


@every_row
def test_no_interval_counts_an_image_twice(slug, finished):
    """Of several seeds the same images are averaged: each stands for itself once, however many networks saw it."""
    run = finished(slug)
    ids = set()
    register_tables([PAPERS[slug]])
    for folder in (run.out / "rows").iterdir():
        if "id" in TABLES[folder.name]:
            ids |= set(RunDir(run.out).rows(folder.name, ["id"])["id"].to_pylist())
    for name, figure in run.result.measured.items():
        if isinstance(figure, dict) and not figure["interval"].endswith("over seeds"):
            sides = 2 if "auroc" in name else 1  # normal and abnormal images
            assert figure["n"] <= sides * len(ids), name


@every_row
def test_the_kept_figures_give_the_same_verdict(slug, finished):
    result = finished(slug).result
    again = judge_again(result, PAPERS[slug])
    names = ("reproduced", "parts", "checks", "note", "judged", "frozen")
    assert {n: getattr(again, n) for n in names} == {n: getattr(result, n) for n in names}
    assert result.frozen == result.judged
    assert {p.name for p in result.parts if not p.untried} >= {c.part for c in result.checks}


@three_rows
def test_a_killed_run_is_resumed(slug, finished, tmp_path, monkeypatch):
    """The last third of the rows is missing, as when the process was killed there; its last write never happened."""
    run = finished(slug)
    whole = sorted((run.out / "rows").rglob("*.parquet"), key=lambda f: f.stat().st_mtime_ns)
    shutil.copytree(run.out, tmp_path / "run")
    for file in whole[len(whole) * 2 // 3 :]:
        (tmp_path / "run" / file.relative_to(run.out)).unlink()
    kept = sorted(run.cache.rglob("*"))
    written = Counter()
    write = RunDir.write_rows

    def counted(self, table, name, condition, shard):
        written[name, condition] += 1
        write(self, table, name, condition, shard)

    monkeypatch.setattr(RunDir, "write_rows", counted)
    again = run_paper(run.text, out=tmp_path / "run", data=run.data, model=run.model)
    same(again.measured, run.result.measured, tiny_of(slug).wall_times)
    assert again.reproduced == run.result.reproduced
    assert len(again.provenance["sessions"]) == len(run.result.provenance["sessions"]) + 1
    assert sorted(run.cache.rglob("*")) == kept  # nothing was trained again
    assert "came from the cache" not in again.note  # the seconds of the first session are those of training
    assert max(written.values()) == 1
    assert len(written) < len(whole)


def other_value(paper):
    """A parameter with a number that is allowed and that the tiny run does not have."""
    for name, value in paper.model_dump().items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            with contextlib.suppress(ParameterError):
                type(paper)(**{**paper.model_dump(), name: value + 1})
                return name, value + 1
    raise AssertionError("no parameter is a number")


@every_row
def test_other_settings_are_refused_before_anything_is_read_or_trained(slug, finished, monkeypatch):
    run = finished(slug)

    def touched(*args, **options):
        raise AssertionError("data was read or a network trained")

    monkeypatch.setattr(Datasets, "open", touched)
    monkeypatch.setattr(Loop, "train", touched)
    parameters = run.text.partition(":")[2]
    name, value = other_value(PAPERS[slug].from_text(parse_values(run.text)[1]))
    kept = [p for p in parameters.split(",") if not p.startswith(f"{name}=")]
    given = {"out": run.out, "model": run.model}
    with pytest.raises(RunError, match=rf"another experiment \({name} differ\); choose another --out"):
        run_paper(f"{slug}:{','.join([*kept, f'{name}={value}'])}", data=run.data, **given)
    with pytest.raises(RunError, match=r"\(seed differ\)"):
        run_paper(run.text, seed=1, data=run.data, **given)
    with pytest.raises(RunError, match=r"\(data differ\)"):
        run_paper(run.text, data="folder:elsewhere", **given)


@every_row
def test_absent_data_is_one_line_before_the_experiment_begins(slug, tmp_path, monkeypatch):
    """Nothing is loaded, trained or computed: a pretrained network alone may take a minute."""
    monkeypatch.setattr(Paper, "run", lambda *a: pytest.fail("the experiment began"))
    data = f"folder:{tmp_path}/no-such-set"
    with pytest.raises(UnshakenError, match="no-such-set") as caught:
        run_paper(tiny_text(slug, tiny_of(slug), tmp_path), out=tmp_path / "run", data=data)
    assert "\n" not in str(caught.value)


UNSEEN = {
    "accuracy-disparity", "adele", "coco-o", "crop-selection", "efficient-robustify", "hyperspherical",
    "intrinsic-properties", "ranking-robustness", "rigid", "robust-weight-signatures", "textile",
    "viewpoint-adversarial-training",
}  # fmt: skip
"""Rows whose tiny run draws points or textures, takes all images that there are, or takes them as bare tensors."""


@pytest.mark.parametrize("slug", [p for p in three_rows.args[1] if p.values[0] not in UNSEEN])
def test_the_run_seed_draws_all_images(slug, finished, tmp_path, monkeypatch):
    """Whatever is taken of a data set is other images under another run seed, but for all images of a class."""
    run, drawn = finished(slug), Drawn(monkeypatch)
    run_paper(run.text, seed=1, out=tmp_path / "other", data=run.data, model=run.model)
    assert run.taken
    assert all(one != other for one, other in zip(run.taken, drawn.taken, strict=True))


DISPENSABLE = {"demo", "mnist", "fashion-mnist"}
"""Embedded images, and sets that rows look at where they are there: they are none of the tiny runs' own data."""


class Opened:
    """Takes the place of `Datasets`: notes what is looked for."""

    def __init__(self, spec):
        self.spec, self.names = spec, {spec.partition("?")[0]}

    def check(self, spec):
        self.names.add(spec.partition("?")[0])


@every_row
def test_all_data_that_is_read_is_looked_for_first(slug, finished):
    """All inputs of the tiny run but for what is dispensable."""
    run = finished(slug)
    record = json.loads((run.out / "paper.json").read_text())
    settings, inputs = record["settings"], record["inputs"]
    paper = PAPERS[slug](**{k: v for k, v in settings.items() if k in PAPERS[slug].model_fields})
    opened = Opened(settings["data"])
    paper.check_data(opened, own=True)
    read = {name.removeprefix("data ").partition("?")[0] for name in inputs if name.startswith("data ")}
    assert {name for name in read - DISPENSABLE if not Path(settings["data"], name).is_file()} <= opened.names


@pytest.mark.parametrize(("slug", "name"), [(s, "cifar10") for s in ("adversarial-training", "crop-selection",
                                                                    "crossmax-ensemble")])  # fmt: skip
def test_data_that_only_the_rows_own_experiment_reads_is_looked_for_too(slug, name):
    paper, opened = PAPERS[slug](), Opened(PAPERS[slug].data)
    paper.check_data(opened, own=False)
    assert opened.names == {paper.data, name}
    own = Opened("folder:mine")
    paper.check_data(own, own=True)
    assert own.names == {"folder:mine"}


@every_row
def test_the_cost_of_an_attacked_sample_is_more_than_one_pass(slug, finished):
    """Searches are counted: an example by PGD with a forward pass and no backward one has not been searched for.

    Nothing is spent where the clean image, or an example of a smaller ball, is misclassified already.
    """
    columns = ["method", "condition", "forwards", "backwards"]
    rows = RunDir(finished(slug).out).rows("outcomes", columns).to_pylist()
    spent: dict[str, list[tuple[int, int]]] = {}
    for row in rows:
        assert row["forwards"] >= (row["method"] == "clean"), row
        assert row["backwards"] is not None, row
        if row["method"] in ("pgd", "fgsm"):
            spent.setdefault(row["condition"], []).append((row["forwards"], row["backwards"]))
    for condition, costs in spent.items():
        if max(costs)[0]:
            assert max(costs)[0] > 1, condition
            assert any(backwards for _, backwards in costs), condition
            assert all(forwards > 1 for forwards, backwards in costs if backwards), condition


@every_row
def test_no_parameter_bears_a_name_of_the_settings(slug):
    assert not {"slug", "seed", "data", "model"} & set(PAPERS[slug].model_fields)


def test_every_table_has_one_owner():
    register_tables(PAPERS.values())
    names = [table_name(slug, name) for slug, cls in PAPERS.items() for name in cls.tables]
    assert len(names) == len(set(names))
    assert set(names) <= set(TABLES)
