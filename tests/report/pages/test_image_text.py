"""The page of classifiers of images with texts: the same figures as the rows, texts with what was added, pictures."""

import pytest

from tests.tasks.image_text.toy import WORDS, bag, by_both, by_tint, samples
from unshaken.core.errors import RunError
from unshaken.report.blocks import Details, Group, Span, Table, plain, walk
from unshaken.report.drawings import Gallery
from unshaken.report.pages.image_text import IMAGE_TEXT
from unshaken.report.rebuild import rebuild_report
from unshaken.store.run_dir import RunDir
from unshaken.tasks.image_text import ChangeImage, Dilution, Relevance, TemplateWriter, evaluate, gather_material


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    given = samples(24)
    material = gather_material(given, WORDS, by_tint(given.images.float() / 255, ()))
    changes = {"diluted": Dilution(TemplateWriter(), material, count=3), "fog": ChangeImage("fog", 5)}
    out = tmp_path_factory.mktemp("page") / "run"
    report = evaluate({"fused": by_both, "tint": by_tint}, given, changes, relevance=Relevance(bag), out=out)
    return RunDir(out), report


def test_the_table_has_the_figures_of_the_rows(made):
    run, report = made
    table = next(b for b in IMAGE_TEXT.page_of(run).blocks if isinstance(b, Table))
    assert [plain(r.text) for r in table.rows if isinstance(r, Group)] == ["fused", "tint"]
    diluted = next(r for r in table.rows if not isinstance(r, Group) and r[0] == "diluted")
    found = report.figures()["fused"]["diluted"]
    assert diluted[1].text == f"{found['f1'].value:.3g}"
    assert diluted[2].text == f"{100 * found['drop'].value:+.1f}"
    assert diluted[3] == str(found["lost"])
    assert all(len(r) == len(table.columns) for r in table.rows if not isinstance(r, Group))


def test_what_is_added_is_stated_once_a_change(made):
    run, report = made
    table = [b for b in IMAGE_TEXT.page_of(run).blocks if isinstance(b, Table)][1]
    diluted, fog = table.rows
    assert diluted[1].text == f"{report.figures()['fused']['diluted']['relevance_text'].value:.3g}"
    assert diluted[2].text == ""  # nothing measures the image's side
    assert all(cell.text == "" for cell in fog[1:7])
    assert (diluted[-1], fog[-1]) == (f"{report.figures()['tint']['diluted']['queries']:,}", "0")


def test_samples_to_read_have_picture_text_and_both_predictions(made):
    run, report = made
    parts = [b for b in walk(IMAGE_TEXT.page_of(run).blocks) if isinstance(b, Details)]
    assert [p.title for p in parts] == ["diluted", "fog"]
    galleries = [b for p in parts for b in p.blocks if isinstance(b, Gallery)]
    assert [len(g.exhibits) for g in galleries] == [20, 20]
    right = [report.paired("fused", p.title).comparison.both_right for p in parts]
    gained = [report.paired("fused", p.title).comparison.gained for p in parts]
    fewest = min(range(2), key=lambda i: right[i] + gained[i])
    assert [p.open for p in parts] == [i == fewest for i in range(2)]
    assert {len(e.pictures) for e in galleries[0].exhibits} == {1}
    assert {len(e.pictures) for e in galleries[1].exhibits} == {2}
    rows = {row["changed_text"]: row for row in report.condition("fused", "diluted").to_pylist()}
    for exhibit in galleries[0].exhibits:
        row = rows[plain(exhibit.lines[1])]
        added = next(p.text for p in exhibit.lines[1] if isinstance(p, Span))
        assert added == row["added"]
        verdicts = [plain(line) for line in exhibit.lines if plain(line).startswith(("fused", "tint"))]
        assert len(verdicts) == 2
        lost = row["prediction"] == row["label"] != row["changed_prediction"]
        assert ("now wrong" in verdicts[0]) == lost


def test_unshaken_report_makes_the_page(made):
    run, _ = made
    assert rebuild_report(run)["samples"] == 24
    for name in ("report.html", "report.md"):
        assert b"Images with texts" in run.read(name)
    assert b'class="readings' in run.read("report.html")
    with pytest.raises(RunError):
        rebuild_report(RunDir(run.path + "-absent"))
