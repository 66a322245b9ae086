import pytest

from unshaken.core.errors import DataError
from unshaken.tasks.ranking import as_collection, read_wordnet

NOUN = (
    "  1 licence\n"
    "00000001 05 n 02 bird 0 winged_thing 0 001 @ 00000002 n 0000 | "
    'warm-blooded and feathered; "the bird sang at dawn"; "a"\n'
    "00000002 05 n 01 animal 0 001 ~ 00000001 n 0000 | a living organism\n"
)
ADJ = '00000003 00 s 01 afloat(p) 0 000 | borne on the water; "the boat is afloat now"\n'


@pytest.fixture
def folder(tmp_path):
    tmp_path = tmp_path / "wordnet"
    tmp_path.mkdir()
    for part, text in {"noun": NOUN, "adj": ADJ, "verb": "", "adv": ""}.items():
        (tmp_path / f"data.{part}").write_text(text)
    return tmp_path


def test_meanings_are_documents_and_examples_are_queries(folder, monkeypatch):
    monkeypatch.setenv("UNSHAKEN_DATA", str(folder.parent))
    synsets = read_wordnet()
    assert [s.text for s in synsets] == [
        "bird, winged thing: warm-blooded and feathered", "animal: a living organism", "afloat: borne on the water"
    ]  # fmt: skip
    found = as_collection(synsets, synsets)
    assert found.queries == {"n00000001": "the bird sang at dawn", "a00000003": "the boat is afloat now"}
    assert found.types == {"n00000001": "noun", "a00000003": "adj"}
    assert found.qrels["n00000001"] == {"n00000001": 1}
    assert as_collection(synsets, synsets, related=True).qrels["n00000001"] == {"n00000002": 1, "n00000001": 2}


def test_other_files_are_refused(folder):
    (folder / "data.verb").write_text("not a line\n")
    with pytest.raises(DataError, match=r"data\.verb, line 1 is no line"):
        read_wordnet(folder)
    (folder / "data.verb").unlink()
    with pytest.raises(DataError, match="wordnet-base"):
        read_wordnet(folder)
