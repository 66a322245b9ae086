"""`unshaken query`: SQL over the rows, and over nothing else; and `unshaken card`."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest


@pytest.fixture
def run(unshaken, place):
    assert unshaken("audit --model py:net.py:build --data folder:photos --plan fgsm.yaml --out run").code == 0
    return place


def test_tables_are_views(run, unshaken):
    sql = "select condition, count(*) as n, avg(correct::int) as accuracy from outcomes group by 1 order by 3, 1"
    answer = json.loads(unshaken("query", "run", sql, "--json").out)
    assert [(r["n"], r["accuracy"]) for r in answer] == [(12, 0.0), (12, 1.0), (12, 1.0)]
    assert json.loads(unshaken("query run 'select count(*) as n from flags' --json").out) == [{"n": 0}]
    steps = json.loads(unshaken("query run 'select distinct step from cost order by 1' --json").out)
    assert steps == [{"step": "clean"}, {"step": "fgsm"}]


@pytest.mark.parametrize(
    "sql",
    [
        "select * from range(100000000000)",
        "select range r from range(100000000000) order by r desc",
        pytest.param("select repeat('x', 1000000000) from range(100)", marks=pytest.mark.long),
    ],
)
def test_a_statement_without_end_is_refused(unshaken, run, sql):
    answer = unshaken("query", "run", sql)
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert re.search("1,000,000 rows|more than 1GiB", answer.err)


def test_tables_can_be_joined(run, unshaken):
    sql = "select count(*) as n from outcomes a join outcomes b using (id) where a.condition = 'clean' and b.eps = 0.4"
    assert json.loads(unshaken("query", "run", sql, "--json").out) == [{"n": 12}]


def test_csv_can_be_read_again(run, unshaken):
    text = unshaken(
        "query", "run", "select id, label from outcomes where condition = 'clean' order by id limit 2", "--csv"
    ).out
    assert list(csv.reader(io.StringIO(text))) == [["id", "label"], ["dark/0.png", "0"], ["dark/1.png", "0"]]


def test_json_has_null_where_a_number_is_none(run, unshaken):
    answer = unshaken("query", "run", "select 'nan'::double as a, null as b, date '2020-01-02' as c", "--json").out
    assert json.loads(answer) == [{"a": None, "b": None, "c": "2020-01-02"}]


def test_a_long_table_says_what_it_leaves_out(run, unshaken):
    out = unshaken("query run 'select * from range(507)'").out.splitlines()
    assert out[-1] == "7 more rows; --csv or --json gives all 507"
    assert len(out) == 2 + 500 + 1


def test_a_value_cannot_steer_the_terminal(run, unshaken):
    out = unshaken("query", "run", "select chr(27) || '[31m[red]' as a").out
    assert "\x1b" not in out
    assert "\\x1b[31m[red]" in out


def test_no_value_is_a_formula_or_steers_the_terminal_in_csv(run, unshaken):
    sql = "select '=1+1' as a, '-cmd' as \"@b\", -1.5 as c, '+' || chr(27) || '[2J' || chr(7) as d, 'plain' as e"
    assert unshaken("query", "run", sql, "--csv").out == "a,'@b,c,d,e\n'=1+1,'-cmd,-1.5,'+\\x1b[2J\\x07,plain\n"


def test_rows_of_a_room_that_came_later_are_a_view_too(run, unshaken):
    import pyarrow as pa
    import pyarrow.parquet as pq

    (run / "run/rows/odds").mkdir()
    pq.write_table(pa.table({"id": ["a"], "score": [0.5]}), run / "run/rows/odds/odin-00000.parquet")
    assert json.loads(unshaken("query run 'select * from odds' --json").out) == [{"id": "a", "score": 0.5}]


def test_damaged_rows_are_no_answer(run, unshaken):
    file = run / "run/rows/outcomes/clean-00000.parquet"
    whole, chunks = file.read_bytes(), pq.ParquetFile(file).metadata.row_group(0)
    for chunk in map(chunks.column, range(chunks.num_columns)):
        if chunk.path_in_schema not in ("loss", "confidence", "prediction"):
            continue
        place = (chunk.dictionary_page_offset or chunk.data_page_offset) + chunk.total_compressed_size - 1
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        done = unshaken("query", "run", "select * from outcomes")
        assert (done.code, done.out) == (2, ""), place
        assert re.fullmatch(r"unshaken: run: rows/outcomes/clean-00000\.parquet is damaged .*\n", done.err), place
    file.write_bytes(whole)
    (run / "run/rows/outcomes/clean-00001.parquet").write_bytes(whole)
    assert "is a copy of rows/outcomes/clean-00000.parquet" in unshaken("query", "run", "select * from outcomes").err


@pytest.mark.parametrize(
    "sql",
    [
        "delete from outcomes",
        "drop view outcomes",
        "create table t as select 1",
        "insert into flags values ('a', 'b', 'c')",
    ],
)
def test_no_statement_changes_the_run(sql, run, unshaken):
    before = {p: p.read_bytes() for p in (run / "run").rglob("*") if p.is_file()}
    done = unshaken("query", "run", sql)
    assert done.code in (0, 2)
    assert done.err.count("\n") == (done.code == 2)
    assert {p: p.read_bytes() for p in (run / "run").rglob("*") if p.is_file()} == before


def test_a_card_is_printed_or_written(unshaken, place):
    assert unshaken("audit --model demo --data demo --plan fog.yaml --limit 20 --quiet --out run").code == 0
    printed = unshaken("card run --name camera")
    assert printed.code == 0
    assert printed.out.startswith("---\nmodel-index:\n- name: camera\n")
    assert unshaken("card run --name camera --into README.md").out == "card: README.md\n"
    assert Path("README.md").read_text() == printed.out
    assert unshaken("card run --into absent/README.md").code == 2
    assert unshaken("card run --into photos").err.startswith("unshaken: --into 'photos' is a folder")


def test_a_card_of_data(unshaken, place, monkeypatch):
    assert unshaken("card").err == "unshaken: give either a run, or --data SPEC\n"
    assert "give either a run, or --data SPEC" in unshaken("card run --data demo").err
    assert "a card of data is a JSON file" in unshaken("card --data folder:photos --into README.md").err
    monkeypatch.setitem(sys.modules, "mlcroissant", None)
    assert unshaken("card --data folder:photos").err.endswith("pip install 'unshaken[croissant]'\n")
