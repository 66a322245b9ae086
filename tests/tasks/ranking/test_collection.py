"""Files of TREC and names of measures: what is read, and one line for whatever is wrong."""

import ir_measures
import numpy as np
import pytest

from unshaken.core.errors import DataError, ParameterError
from unshaken.tasks.ranking import (
    as_collection,
    measure_queries,
    read_collection,
    read_qrels,
    read_run,
    read_wordnet,
    sort_by_score,
    write_run,
)
from unshaken.tasks.ranking.collection import read_texts
from unshaken.tasks.ranking.order import parse_measure

RUN = "q1 Q0 a 1 2.0 mine\n"
QRELS = "q1 0 a 1\n"
BAD = {
    "run empty": (read_run, "", "empty"),
    "run of space": (read_run, "\n  \n", "empty"),
    "run with five columns": (read_run, "q1 Q0 a 1 2.0\n", "5 columns in the place of 6"),
    "run with seven columns": (read_run, "q1 Q0 a 1 2.0 mine more\n", "7 columns"),
    "run without Q0": (read_run, "q1 0 a 1 2.0 mine\n", "must be Q0"),
    "run with a text as rank": (read_run, "q1 Q0 a first 2.0 mine\n", "rank 'first' is no number"),
    "run with a text as score": (read_run, "q1 Q0 a 1 high mine\n", "score 'high'"),
    "run with nan": (read_run, "q1 Q0 a 1 nan mine\n", "score 'nan'"),
    "run with infinity": (read_run, "q1 Q0 a 1 inf mine\n", "score 'inf'"),
    "run beyond float32": (read_run, "q1 Q0 a 1 1e39 mine\n", "score '1e39'"),
    "run beyond float64": (read_run, "q1 Q0 a 1 1e999 mine\n", "score '1e999'"),
    "run with underscores": (read_run, "q1 Q0 a 1 1_0 mine\n", "score '1_0'"),
    "run with a document twice": (read_run, RUN + "q1 Q0 a 2 1.0 mine\n", "line 2: document 'a' stands twice"),
    "two runs in one file": (read_run, RUN + "q1 Q0 b 2 1.0 other\n", "second run begins"),
    "judgements as a run": (read_run, QRELS, "4 columns"),
    "qrels empty": (read_qrels, "", "empty"),
    "qrels with three columns": (read_qrels, "q1 a 1\n", "3 columns in the place of 4"),
    "qrels with a real grade": (read_qrels, "q1 0 a 1.5\n", "the grade '1.5'"),
    "qrels with a word as grade": (read_qrels, "q1 0 a yes\n", "the grade 'yes'"),
    "qrels with a huge grade": (read_qrels, "q1 0 a 101\n", "the grade '101'|from -100 to 100"),
    "qrels with a pair twice": (read_qrels, QRELS + "q1 0 a 0\n", "stands twice"),
    "a run as judgements": (read_qrels, RUN, "6 columns"),
    "texts without a tab": (read_texts, "q1 a wing\n", "no tab"),
    "texts without an id": (read_texts, "\ta wing\n", "id '' is empty"),
    "texts with space in an id": (read_texts, "q 1\ta wing\n", "holds space"),
    "texts with an id twice": (read_texts, "q1\ta\nq1\tb\n", "stands twice"),
    "texts without text": (read_texts, "q1\t \n", "has no text"),
    "zero bytes": (read_texts, "q1\ta\0b\n", "zero bytes"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_line(name, tmp_path):
    read, text, words = BAD[name]
    (tmp_path / "file").write_text(text)
    with pytest.raises(DataError, match=words) as caught:
        read(tmp_path / "file")
    assert "\n" not in str(caught.value)
    assert "file" in str(caught.value)


def test_what_is_no_text_is_one_line(tmp_path):
    (tmp_path / "latin").write_bytes("q1\tf\xfcr\n".encode("latin-1"))
    for path, words in ((tmp_path / "latin", "UTF-8"), (tmp_path / "absent", "No such file"), (tmp_path, "directory")):
        with pytest.raises(DataError, match=words):
            read_texts(path)


def test_a_run_is_ordered_by_score_and_written_as_it_is(tmp_path):
    (tmp_path / "run").write_text("\ufeffq1 Q0 b 9 1.0 mine\r\n\nq1 Q0 a 1 1.0 mine\nq1 q0 c 5 1.5e0 mine\n")
    found = read_run(tmp_path / "run")
    assert found["q1"].ids == ("c", "b", "a")  # not by the column rank; the larger id first of equal scores
    write_run(found, tmp_path / "again", "mine")
    again = read_run(tmp_path / "again")["q1"]
    assert again.ids == found["q1"].ids
    assert np.array_equal(again.scores, found["q1"].scores)
    with pytest.raises(ParameterError, match="one word"):
        write_run(found, tmp_path / "again", "my run")
    for odd in ({"q 1": found["q1"]}, {"q1": sort_by_score(["my photo.png"], [1.0])}):
        with pytest.raises(ParameterError, match="holds space"):
            write_run(odd, tmp_path / "again")
    assert read_run(tmp_path / "again")["q1"].ids == found["q1"].ids


def folder(path, **texts):
    files = {"documents.tsv": "a\twing\nb\tbird\n", "queries.tsv": "q1\twings\n", "qrels.txt": QRELS, **texts}
    for name, text in files.items():
        (path / name).write_text(text)
    return path


def test_a_folder_is_a_collection(tmp_path):
    (tmp_path / "types.tsv").write_text("q1\tnoun\nq2\tverb\n")
    many = {"queries.tsv": "q1\twings\nq2\tflies\nq3\tsinging\n", "qrels.txt": QRELS + "q2 0 a 0\n"}
    found = read_collection(folder(tmp_path, **many))
    assert list(found.queries) == ["q1"]  # the others have no relevant document
    assert found.types == {"q1": "noun"}


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({"qrels.txt": "q9 0 a 1\n"}, "judges none of the queries"),
        ({"qrels.txt": "q1 0 z 1\n"}, "judged documents that are not among"),
        ({"qrels.txt": "q1 0 a 1\nq9 0 a 1\n"}, "judged queries that are not among"),
        ({"queries.tsv": "q1\t...\n"}, "queries without a word"),
        ({"types.tsv": "q9\tnoun\n"}, "types of queries that are not among"),
        ({"qrels.txt": "q1 0 a 0\n"}, "has no query"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(texts, words, tmp_path):
    with pytest.raises(DataError, match=words):
        read_collection(folder(tmp_path, **texts))


def test_measures_by_hand(tmp_path):
    (tmp_path / "run").write_text("".join(f"q Q0 {d} 1 {s} r\n" for d, s in zip("abcd", (4, 3, 2, 1), strict=True)))
    qrels = {"q": {"a": 1, "b": 0, "c": 1, "d": 0}, "unranked": {"a": 1}}
    found = measure_queries(read_run(tmp_path / "run"), qrels, ["AP", "nDCG@4", "RR", "R@1", "Judged@10"])
    values = {name: v["q"] for name, v in found.items()}
    assert values == pytest.approx(
        {"AP": 5 / 6, "nDCG@4": 1.5 / (1 + 1 / np.log2(3)), "RR": 1, "R@1": 0.5, "Judged@10": 1}, abs=1e-6
    )
    assert {name: v["unranked"] for name, v in found.items()} == dict.fromkeys(values, 0)
    for name in ("foo@3", "nDCG@", ""):
        with pytest.raises(ParameterError, match="measure"):
            measure_queries(read_run(tmp_path / "run"), qrels, [name])
    with pytest.raises(ParameterError, match="none of the rankings"):
        measure_queries({}, qrels, ["AP"])


@pytest.mark.parametrize("seed", range(3))
def test_ties_are_decided_as_trec_eval_decides_them(seed):
    """Scores that often tie, and some that tie in float32 alone."""
    pytrec_eval = pytest.importorskip("pytrec_eval")
    rng = np.random.default_rng(seed)
    ids = [f"d{i}" for i in rng.permutation(40)] + ["é", "Z", "z", "\U0001f426"]
    run, qrels = {}, {}
    for query in ("q1", "q2", "q3"):
        scores = rng.integers(4, size=len(ids)) + rng.choice([0.0, 1e-9], size=len(ids))
        run[query] = dict(zip(ids, scores.tolist(), strict=True))
        qrels[query] = {d: int(g) for d, g in zip(ids, rng.integers(-1, 3, size=len(ids)), strict=True)}
    rankings = {q: sort_by_score(list(s), list(s.values())) for q, s in run.items()}
    names = {"AP": "map", "nDCG@10": "ndcg_cut_10", "RR": "recip_rank", "R@5": "recall_5", "P@5": "P_5"}
    ours = measure_queries(rankings, qrels, list(names))
    theirs = pytrec_eval.RelevanceEvaluator(qrels, set(names.values())).evaluate(run)
    for name, other in names.items():
        assert ours[name] == pytest.approx({q: theirs[q][other] for q in run}, abs=1e-9)


def test_one_measure_by_two_names_has_its_value_by_both():
    ranking = {"q": sort_by_score(["a", "b"], [1, 2])}
    assert measure_queries(ranking, {"q": {"a": 1}}, ["RR@10", "MRR@10"]) == {
        "RR@10": {"q": 0.5}, "MRR@10": {"q": 0.5},
    }  # fmt: skip


def test_the_exponential_gain_is_a_measure():
    ranking = {"q": sort_by_score(["a", "b"], [2, 1])}
    name = "nDCG(gains={1:1,2:3})@10"
    found = measure_queries(ranking, {"q": {"a": 1, "b": 2}}, [name])[name]["q"]
    assert found == pytest.approx((1 + 3 / np.log2(3)) / (3 + 1 / np.log2(3)))


NOUN = (
    "  1 licence\n"
    "00000001 05 n 02 bird 0 winged_thing 0 001 @ 00000002 n 0000 | "
    'warm-blooded and feathered; "the bird sang at dawn"; "a"\n'
    "00000002 05 n 01 animal 0 001 ~ 00000001 n 0000 | a living organism\n"
)
ADJ = '00000003 00 s 01 afloat(p) 0 000 | borne on the water; "the boat is afloat now"\n'


@pytest.fixture
def wordnet_folder(tmp_path):
    tmp_path = tmp_path / "wordnet"
    tmp_path.mkdir()
    for part, text in {"noun": NOUN, "adj": ADJ, "verb": "", "adv": ""}.items():
        (tmp_path / f"data.{part}").write_text(text)
    return tmp_path


def test_meanings_are_documents_and_examples_are_queries(wordnet_folder, monkeypatch):
    monkeypatch.setenv("UNSHAKEN_DATA", str(wordnet_folder.parent))
    synsets = read_wordnet()
    assert [s.text for s in synsets] == [
        "bird, winged thing: warm-blooded and feathered", "animal: a living organism", "afloat: borne on the water"
    ]  # fmt: skip
    found = as_collection(synsets, synsets)
    assert found.queries == {"n00000001": "the bird sang at dawn", "a00000003": "the boat is afloat now"}
    assert found.types == {"n00000001": "noun", "a00000003": "adj"}
    assert found.qrels["n00000001"] == {"n00000001": 1}
    assert as_collection(synsets, synsets, related=True).qrels["n00000001"] == {"n00000002": 1, "n00000001": 2}


def test_other_files_are_refused(wordnet_folder):
    (wordnet_folder / "data.verb").write_text("not a line\n")
    with pytest.raises(DataError, match=r"data\.verb, line 1 is no line"):
        read_wordnet(wordnet_folder)
    (wordnet_folder / "data.verb").unlink()
    with pytest.raises(DataError, match="wordnet-base"):
        read_wordnet(wordnet_folder)


@pytest.mark.parametrize(
    ("text", "name", "values", "cutoff"),
    [
        ("AP", "AP", {}, None),
        ("nDCG@10", "nDCG", {}, 10),
        ("P(rel=2)@5", "P", {"rel": 2}, 5),
        ("nDCG(gains={1:1,2:3,3:7})@10", "nDCG", {"gains": {1: 1, 2: 3, 3: 7}}, 10),
        ("nDCG(cutoff=5)", "nDCG", {}, 5),
    ],
)
def test_a_measure_is_parsed_to_the_object_of_ir_measures(text, name, values, cutoff):
    expected = ir_measures.measures.registry[name]
    expected = expected(**values) if values else expected
    assert parse_measure(text) == (expected if cutoff is None else expected @ cutoff)


@pytest.mark.parametrize(
    "text", ["ndcg@10", "nDCG@", "nDCG@x", "nDCG@10@5", "P", "nDCG(foo=1)@10", "nDCG(1)@10", "AP+RR", "", "nDCG@-1",
             "nDCG(dcg=f())@10", "__import__('os')"],
)  # fmt: skip
def test_a_text_that_is_no_measure_is_one_line(text):
    with pytest.raises(ParameterError, match="as in nDCG@10, AP, RR@100") as caught:
        parse_measure(text)
    assert "\n" not in str(caught.value)
