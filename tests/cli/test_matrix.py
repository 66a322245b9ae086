"""`unshaken matrix`: bad input, failed cells, resuming, parts, gates; cells are runs like any other."""

from __future__ import annotations

import contextlib
import csv
import importlib
import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.processes import process, run_command
from unshaken.cli.complete import complete_yaml
from unshaken.report import compare_runs
from unshaken.report.matrix import MatrixRecord
from unshaken.report.pages import matrix as matrix_page
from unshaken.run import shard
from unshaken.store.lock import locked
from unshaken.store.run_dir import RunDir

matrix_verb = importlib.import_module("unshaken.api.matrix")  # the package has the function of that name
NETS = """
import torch
from net import Brightness, build


class Noisy(Brightness):
    def __init__(self, share):
        super().__init__()
        self.share = share

    def forward(self, x):  # wrong for some images, by their pixels
        return super().forward(x) * torch.where((x.sum((1, 2, 3)) * 1000 % 1 < self.share), -1.0, 1.0)[:, None]


def noisy():
    return Noisy(0.4).eval()
"""
ODD_NETS = """
from net import Brightness, build


class Late(Brightness):
    def forward(self, x):
        if x.shape[0] > 2:  # not the first batch, on which a model is tried
            raise ValueError("a bug of the user's")
        return super().forward(x)


def late():
    return Late().eval()


def leaves():
    raise SystemExit(0)
"""
FILE = """
models:
  good: py:nets.py:build
  noisy: py:nets.py:noisy
data: {photos: "folder:photos"}
plans: [fog.yaml]
"""
ALLOW = "--allow-code py:nets.py:build --allow-code py:nets.py:noisy --allow-code py:odd.py:late"


@pytest.fixture
def nets(place):
    """The working folder with several nets and a matrix of two of them."""
    (place / "nets.py").write_text(NETS)
    (place / "odd.py").write_text(ODD_NETS)
    (place / "m.yaml").write_text(FILE)
    return place


def run_matrix(unshaken, more="", out="all"):
    return unshaken(f"matrix m.yaml --out {out} {ALLOW} {more}")


def states(out="all"):
    rows = list(csv.DictReader(Path(out, "matrix.csv").read_text().splitlines()))
    return {f"{row['model']}/{row['data']}/{row['plan']}": row["state"] for row in rows}


BAD = {
    "models: [demo]\n": "has no data: write 'data:' with a line 'NAME: SPEC' for each",
    "data: [demo]\n": "has no models",
    "- demo\n": "must be a table with the keys models, data and plans",
    "models: [demo]\ndata: [demo]\nplan: [quick]\n": "no key 'plan' here; did you mean 'plans'?",
    "models: [demo]\ndata: [demo]\nlimits: 5\n": "no key 'limits' here; did you mean 'limit'?",
    "models: [demo]\ndata: [demo]\nout: x\n": "out is of one call: give --out on the command line",
    "models: [demo]\ndata: [demo]\ndownload: true\n": "download is of one call: give --download on the command line",
    "models: [demo]\ndata: [demo]\nregister: a@b\n": "no key 'register' here; register the version of one model",
    "models: [demo]\ndata: [demo]\nlimit: 0\n": "limit 0 must be from 1 to",
    "models: [demo]\ndata: [demo]\nlimit: '5'\n": "limit '5' must be a whole number",
    "models: [demo]\ndata: [demo]\nstrict_batch: 1\n": "strict_batch: 1 is not true or false",
    "models: [demo]\ndata: [demo]\ndevice: 1\n": "device: 1 is not a text",
    "models: [demo]\ndata: [demo]\nprecision: fp8\n": "precision 'fp8' is not one of fp32, bf16",
    "models: []\ndata: [demo]\n": "no model is given: give one or more",
    "models: [dem]\ndata: [demo]\n": "no model kind 'dem'; did you mean 'demo'?",
    "models: ['demo?sise=3']\ndata: [demo]\n": "has no option 'sise'; did you mean 'size'?",
    "models: {a/b: demo}\ndata: [demo]\n": "model 'a/b' is no name of a folder",
    "models: {matrix.json: demo}\ndata: [demo]\n": "model 'matrix.json' has the name of a file of the matrix",
    "models: {a: demo, A: 'demo:robust'}\ndata: [demo]\n": "model 'a' is there twice (case does not count)",
    "models: {a: demo, a: 'demo:robust'}\ndata: [demo]\n": "the key 'a' stands twice",
    "models: {a: 3}\ndata: [demo]\n": "models: 3 is no text; write a list of SPECs, or of lines NAME: SPEC",
    "models: [demo]\ndata: ['folder:absent']\n": "'folder:absent'",
    "models: [demo]\ndata: [dem]\n": "did you mean 'demo'?",
    "models: [demo]\ndata: [demo]\nplans: [quik]\n": "no plan 'quik': did you mean 'quick'?",
    "models: [demo]\ndata: [demo]\nplans: [unknown.yaml]\n": "no method 'frog': did you mean 'fog'",
    "models: [demo]\ndata: [demo]\ngates: 3\n": "gates must be a list of texts in quotes",
    "models: [demo]\ndata: [demo]\ngates: [{demo: 'clean.accuracy > 0'}]\n": "gates must be a list of texts in quotes",
    "models: [demo]\ndata: [demo]\ngates: ['accuracy']\n": "gate 'accuracy' is not understood",
    "models: [demo]\ndata: [demo]\ngates: ['dem: clean.accuracy > 0']\n": "no cell fits 'dem'; did you mean 'demo'?",
    "models: [demo]\ndata: [demo]\ngates: ['*/*/*/*: clean.accuracy > 0']\n": "no cell fits '*/*/*/*'",
    "models: [demo]\ndata: [demo]\ngates: [no-regression]\n": "is not for a matrix: a baseline is one run",
    "models: [py:nets.py:build]\ndata: [demo]\n": "names the code 'py:nets.py:build', which would be executed",
    "models: [demo\n": "is not valid YAML",
}


@pytest.mark.parametrize("text", BAD)
def test_a_wrong_file_is_one_line_before_any_work(text, nets, unshaken):
    Path("m.yaml").write_text(text)
    done = unshaken("matrix m.yaml --out all")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert BAD[text] in done.err
    assert not Path("all").exists()


def test_a_part_of_more_than_there_are_cells_is_refused(nets, unshaken):
    assert "the matrix has 2 cells" in run_matrix(unshaken, "--part 1/3").err
    assert "is not K/N" in run_matrix(unshaken, "--part 3/2").err
    assert not Path("all").exists()


def test_a_matrix_is_runs_like_any_other_and_one_table(nets, unshaken):
    done = run_matrix(unshaken)
    assert (done.code, done.err) == (0, "")
    assert "2 of 2 cells are finished" in done.out
    assert done.out.endswith("page: all/index.html\n")
    summary = json.loads((nets / "all/matrix.json").read_text())
    (column,) = summary["columns"]
    assert summary["models"] == {"good": "py:nets.py:build", "noisy": "py:nets.py:noisy"}
    assert column["ranks"]["clean"].keys() == {"good", "noisy"}
    for cell in ("all/good/photos/fog", "all/noisy/photos/fog"):
        assert unshaken(f"report {cell}").code == 0
        assert unshaken("query", cell, "select count(*) from outcomes").code == 0
        assert unshaken(f"card {cell}").code == 0
    assert json.loads(Path("all/good/photos/fog/run.json").read_text())["model_name"] == "good"
    before = (nets / "all/index.html").read_bytes()
    (nets / "all/index.html").unlink()
    assert unshaken("report all").code == 0  # from the cells alone
    assert (nets / "all/index.html").read_bytes() == before
    assert "already holds a matrix; add --resume" in run_matrix(unshaken).err


def test_pairs_are_those_of_a_comparison_in_a_family_of_that_size(nets, unshaken):
    assert run_matrix(unshaken).code == 0
    summary = json.loads(Path("all/matrix.json").read_text())
    (pair,) = summary["columns"][0]["pairs"]["clean"]
    found = compare_runs([RunDir("all/good/photos/fog"), RunDir("all/noisy/photos/fog")]).runs[0].conditions
    (clean,) = [one for one in found if one.condition.id == "clean"]
    assert summary["family"] == len(found) == 2  # clean and fog: correct under every change, and unchanged
    assert pair["difference"] == clean.paired.difference.to_json()
    assert (pair["lost"], pair["gained"], pair["p_adjusted"]) == (
        clean.paired.lost, clean.paired.gained, clean.paired.p_adjusted,
    )  # fmt: skip
    assert (pair["baseline"], pair["candidate"], pair["verdict"]) == ("good", "noisy", clean.verdict)


FAILING = FILE.replace(
    "data:", "  late: py:odd.py:late\n  leaves: py:odd.py:leaves\n  torn: weights:torn.pt?arch=small-cnn\ndata:"
)


def test_failed_cells_are_lines_and_are_run_again(nets, unshaken):
    Path("m.yaml").write_text(FAILING)
    Path("torn.pt").write_bytes(b"no weights")
    more = "--allow-code py:odd.py:leaves"
    done = run_matrix(unshaken, more)
    assert done.code == 2
    assert "2 of 5 cells are finished" in done.out
    lines = " ".join(done.out.split())
    assert "late/photos/fog: failed: ValueError: a bug of the user's" in lines
    assert "leaves/photos/fog: failed: " in lines
    assert "torn/photos/fog: failed: " in lines
    assert "a bug of the user's" in json.loads(Path("all/late/photos/fog/failure.json").read_text())["traceback"]
    assert list(states().values()) == ["finished", "finished", "failed", "failed", "failed"]
    quiet = run_matrix(unshaken, f"{more} --resume -q")
    assert (quiet.code, quiet.out) == (2, "all/index.html\n")
    assert quiet.err.count("failed: ") == 3
    made = {path: path.stat().st_mtime_ns for path in Path("all/good").rglob("*") if path.is_file()}
    Path("odd.py").write_text(
        ODD_NETS.replace("x.shape[0] > 2", "False").replace("raise SystemExit(0)", "return build()")
    )
    Path("m.yaml").write_text(FAILING.replace("  torn: weights:torn.pt?arch=small-cnn\n", "  new: py:nets.py:build\n"))
    assert run_matrix(unshaken, f"{more} --resume").code == 0
    assert set(states().values()) == {"finished"}
    assert len(states()) == 5
    assert not list(Path("all").rglob("late/**/failure.json"))
    assert {path: path.stat().st_mtime_ns for path in Path("all/good").rglob("*") if path.is_file()} == made


def test_a_cell_whose_inputs_changed_is_refused_in_a_line_and_the_rest_goes_on(nets, unshaken):
    assert run_matrix(unshaken).code == 0
    Path("m.yaml").write_text(
        FILE.replace("noisy: py:nets.py:noisy", "noisy: py:nets.py:build\n  third: py:nets.py:noisy")
    )
    done = run_matrix(unshaken, "--resume")
    assert done.code == 2
    assert "noisy/photos/fog: failed: all/noisy/photos/fog: cannot resume with another configuration" in " ".join(
        done.out.split()
    )
    assert states() == {"good/photos/fog": "finished", "noisy/photos/fog": "failed", "third/photos/fog": "finished"}
    Path("m.yaml").write_text(FILE)
    assert run_matrix(unshaken, "--resume").code == 0
    assert states() == {"good/photos/fog": "finished", "noisy/photos/fog": "finished"}


def test_ctrl_c_keeps_what_is_finished(nets, unshaken, monkeypatch):
    run_shard, calls = shard.run_shard, []

    def interrupted(job, *args):
        calls.append(job.config.model_name)
        if job.config.model_name == "noisy" and len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return run_shard(job, *args)

    monkeypatch.setattr("unshaken.run.executor.run_shard", interrupted)
    done = run_matrix(unshaken)
    assert done.code == 130
    assert f"resume with: unshaken matrix m.yaml --out all {ALLOW.split(' --')[0]}" in done.err
    assert done.err.rstrip().endswith("--resume")
    assert states() == {"good/photos/fog": "finished", "noisy/photos/fog": "unfinished"}
    assert run_matrix(unshaken, "--resume").code == 0
    assert calls == ["good", "noisy", "noisy"]
    assert set(states().values()) == {"finished"}


def test_parts_in_one_folder_become_one_table(nets, unshaken):
    assert run_matrix(unshaken, out="whole").code == 0
    assert run_matrix(unshaken, "--part 1/2").code == 0
    assert states() == {"good/photos/fog": "finished", "noisy/photos/fog": "unfinished"}
    assert run_matrix(unshaken, "--part 2/2").code == 0
    whole, parts = (json.loads(Path(out, "matrix.json").read_text()) for out in ("whole", "all"))
    for one in (whole, parts):
        for cell in one["cells"]:
            del cell["cost"]["seconds"]
    assert parts == whole
    assert run_matrix(unshaken, "--resume").code == 0
    Path("m.yaml").write_text(f"{FILE}limit: 4\n")
    assert "holds a matrix of other models, data, plans or options" in run_matrix(unshaken, "--part 1/2").err


def test_gates_of_cells_of_models_and_of_all(nets, unshaken):
    Path("m.yaml").write_text(
        FILE + "gates: ['clean.accuracy >= 0.1', 'good/*/fog: worst_natural >= 0.9', 'noisy: clean.accuracy >= 0.99']\n"
    )
    done = run_matrix(unshaken)
    assert done.code == 1
    assert "noisy/photos/fog: gate FAILED: clean.accuracy >= 0.99" in " ".join(done.out.split())
    kept = {m: json.loads(Path(f"all/{m}/photos/fog/gates.json").read_text()) for m in ("good", "noisy")}
    assert [gate["gate"] for gate in kept["good"]["gates"]] == ["clean.accuracy >= 0.1", "worst_natural >= 0.9"]
    assert [gate["gate"] for gate in kept["noisy"]["gates"]] == ["clean.accuracy >= 0.1", "clean.accuracy >= 0.99"]
    Path("m.yaml").write_text(FILE + "gates: ['clean.accuracy >= 0.1']\n")
    assert run_matrix(unshaken, "--resume").code == 0  # judged anew, nothing is run again
    Path("m.yaml").write_text(FILE + "gates: ['pgd.accuracy >= 0.1']\n")
    done = run_matrix(unshaken, "--resume")
    assert (done.code, "no condition" in done.out or "pgd" in done.out) == (2, True)


def test_bad_samples_end_in_3_and_other_folders_are_refused(nets, unshaken):
    (nets / "photos/dark/torn.png").write_bytes(b"\x89PNG no")
    assert run_matrix(unshaken).code == 3
    assert run_matrix(unshaken, out="photos").code == 2
    done = unshaken("audit --model py:nets.py:build --data folder:photos --plan fog.yaml --out one -q")
    assert done.code == 3
    assert "holds other files" in run_matrix(unshaken, out="one").err


WAITS = """
import os
import time

from net import Brightness


class Waits(Brightness):
    def forward(self, x):
        while x.shape[0] > 2 and not os.path.exists("go"):
            time.sleep(0.1)
        return super().forward(x)


def waits():
    return Waits().eval()
"""


@pytest.mark.long
def test_a_killed_matrix_is_resumed(nets, unshaken):
    (nets / "odd.py").write_text(WAITS)
    Path("m.yaml").write_text(FILE.replace("noisy: py:nets.py:noisy", "waits: py:odd.py:waits"))
    words = ["matrix", "m.yaml", "--out", "all", "--allow-code", "py:nets.py:build", "--allow-code", "py:odd.py:waits"]
    with process(run_command, words, {}, folder=nets, printed=nets / "printed") as child:
        until = time.monotonic() + 300
        while not Path("all/waits/photos/fog/run.json").exists() and time.monotonic() < until:
            time.sleep(0.1)
    assert child.exitcode == -signal.SIGKILL
    made = Path("all/good/photos/fog/summary.json").stat().st_mtime_ns
    Path("go").touch()
    assert unshaken(*words, "--resume").code == 0
    assert states() == {"good/photos/fog": "finished", "waits/photos/fog": "finished"}
    assert Path("all/good/photos/fog/summary.json").stat().st_mtime_ns == made


@pytest.mark.long
def test_processes_run_cells_and_one_that_ends_its_process_is_a_line(nets, unshaken):
    (nets / "odd.py").write_text("def ends():\n    import os\n\n    os._exit(7)\n")
    Path("m.yaml").write_text(FILE.replace("data:", "  ends: py:odd.py:ends\n  third: py:nets.py:build\ndata:"))
    done = run_matrix(unshaken, "--allow-code py:odd.py:ends --engine local:2")
    assert done.code == 2
    assert list(states().values()) == ["finished", "finished", "failed", "finished"]
    assert "ends/photos/fog: failed: all: 3 processes ended over cell ends/photos/fog" in " ".join(done.out.split())


@pytest.mark.long
def test_parts_that_start_at_once_and_twice_lose_nothing(nets, unshaken, tmp_path):
    assert run_matrix(unshaken, out="whole").code == 0
    words = ["matrix", "m.yaml", "--out", "all", *ALLOW.split()]
    parts = ["1/2", "2/2", "1/2", "2/2"]
    with contextlib.ExitStack() as stack:
        children = [
            stack.enter_context(
                process(run_command, [*words, "--part", part], {}, folder=nets, printed=nets / f"printed-{k}")
            )
            for k, part in enumerate(parts)
        ]
        for child in children:
            child.join(300)
    printed = "".join(Path(f"printed-{k}").read_text() for k in range(len(parts)))
    assert [child.exitcode for child in children] == [0] * len(parts), printed
    assert states() == {"good/photos/fog": "finished", "noisy/photos/fog": "finished"}, printed
    whole, parts = (json.loads(Path(out, "matrix.json").read_text()) for out in ("whole", "all"))
    for one in (whole, parts):
        for cell in one["cells"]:
            del cell["cost"]["seconds"]
    assert parts == whole
    assert not list(Path("all").rglob("failure.json"))


def test_a_table_that_is_older_than_a_cell_is_made_again(nets, unshaken, monkeypatch):
    """Part 1 has read the cells and not yet written; meanwhile part 2 ends and writes."""
    read, calls = matrix_page.read_matrix, []

    def read_and_wait(run):
        found = read(run)
        if not calls:
            calls.append(run)
            assert run_matrix(unshaken, "--part 2/2").code == 0
        return found

    monkeypatch.setattr(matrix_page, "read_matrix", read_and_wait)
    assert run_matrix(unshaken, "--part 1/2").code == 0
    assert states() == {"good/photos/fog": "finished", "noisy/photos/fog": "finished"}


def test_of_two_matrices_that_begin_at_once_in_a_folder_one_is_refused(nets, unshaken, monkeypatch):
    """Another process writes its record just when this one has found the folder empty."""
    other = {"schema": 1, "models": {"a": "demo"}, "data": {}, "plans": {}, "options": {}}
    dump = MatrixRecord.model_dump

    def dump_while_another_writes(record, **given):
        Path("all").mkdir()
        Path("all/matrix.json").write_text(json.dumps(other))
        return dump(record, **given)

    monkeypatch.setattr(MatrixRecord, "model_dump", dump_while_another_writes)
    assert "holds a matrix of other models" in run_matrix(unshaken, "--part 1/2").err
    assert json.loads(Path("all/matrix.json").read_text()) == other


def test_a_cell_that_ends_in_another_process_at_the_start_is_no_failure(nets, unshaken, monkeypatch):
    """It is there when this process comes to the cell, and was not when it looked."""
    finished = matrix_verb.is_finished

    def looks_before_another_ends(run):
        found = finished(run)
        if not found and "good" in run.path and not Path("once").exists():
            Path("once").touch()
            assert run_matrix(unshaken, "--part 1/2").code == 0
        return found

    monkeypatch.setattr(matrix_verb, "is_finished", looks_before_another_ends)
    assert run_matrix(unshaken, "--part 1/2").code == 0
    assert states()["good/photos/fog"] == "finished"


def test_yaml_files_are_completed(nets):
    assert "m.yaml" in complete_yaml("m")
    assert complete_yaml("net") == []


def test_a_cell_that_another_process_runs_is_left_alone(nets, unshaken):
    with locked(RunDir("all/good/photos/fog")):
        Path("all/matrix.json").write_text(
            json.dumps({"schema": 1, "models": {}, "data": {}, "plans": {}, "options": {}})
        )
        done = run_matrix(unshaken, "--resume")
        assert Path("all/good/photos/fog/run.lock").exists()
    assert "not finished: good/photos/fog" in done.out
    assert states() == {"good/photos/fog": "unfinished", "noisy/photos/fog": "finished"}


def test_a_damaged_cell_is_a_line(nets, unshaken):
    assert run_matrix(unshaken).code == 0
    (rows,) = Path("all/noisy/photos/fog/rows/outcomes").glob("fog*.parquet")
    rows.write_bytes(rows.read_bytes()[:-20])
    Path("all/good/photos/fog/summary.json").write_text("{")
    assert unshaken("report all").code == 0
    assert states() == {"good/photos/fog": "failed", "noisy/photos/fog": "failed"}
