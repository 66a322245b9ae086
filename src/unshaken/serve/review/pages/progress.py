"""The list of reviews; the progress of one, and how far its readers agree."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from unshaken.labels.review.protocol import ItemState, agreement_of
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Column, Heading, Headline, Prose, Table, Text, Tile, Tiles
from unshaken.report.pages.label_versions import agreement_blocks
from unshaken.serve.access import Reader
from unshaken.serve.pages import answer, answer_blocks
from unshaken.serve.review.exchange import share_wrong
from unshaken.serve.review.pages.context import Here, InReview, ReviewContext
from unshaken.serve.review.pages.items import Did, message_of
from unshaken.serve.review.records import Progress

router = APIRouter()
PARTIAL = (
    "what is open or unclear among them counts as right at the lower end and as wrong at the upper end. The interval "
    "is for a number of items fixed in advance: if you look after every item and stop where you like what you see, it "
    "misses more often than it says."
)
WORDS = {
    ItemState.OPEN: "open: no reader has answered",
    ItemState.WAITING: "waiting for another reader",
    ItemState.AGREED: "agreed",
    ItemState.DISPUTED: "disputed: to be settled",
    ItemState.SETTLED: "settled",
}


@router.get("/reviews/{name}/progress")
def show_progress(here: InReview, last: int = 0, did: Did = "") -> Response:
    """How many items are in which state, what each reader has done, and how far readers agree."""
    progress = here.store.progress(here.name)
    blocks: list[Block] = [Headline("Progress", tuple(_lead(here, progress))), _tiles(here, progress)]
    blocks += _whole_set(here, progress)
    counts = ((state, progress.states.get(state, 0)) for state in ItemState)
    states = tuple(cells.line(WORDS[state], f"{n:,}", wording.percent(n / progress.total)) for state, n in counts)
    heads = (Column("state", number=False), Column("items"), Column("share"))
    blocks += [Heading("Items by state"), Table("Every item is in one state.", heads, states, "narrow")]
    if progress.readers or progress.left:
        blocks += [Heading("Readers"), _readers(progress)]
    message = message_of(last, did)
    return answer_blocks(**here.layout("Progress", "progress"), blocks=blocks, message=message)


def _lead(here: ReviewContext, progress: Progress) -> list[Text]:
    mine = progress.readers.get(here.reader, 0)
    lines: list[Text] = [f"{progress.done:,} of {progress.total:,} items are done; you have answered {mine:,}."]
    if progress.done == progress.total:
        lines.append("The review is complete.")
    elif here.store.next_item(here.name, here.reader) is None:
        lines.append("No item waits for you now: the others need another reader, or a settlement.")
    if disputed := progress.states.get(ItemState.DISPUTED, 0):
        lines.append(f"Readers disagree on {disputed:,}, which wait in the queue to settle.")
    return lines


def _whole_set(here: ReviewContext, progress: Progress) -> list[Block]:
    """What the answers so far tell of all labels, read or not."""
    if not here.review.strata:
        text = (
            "No estimate for the whole set: these items are not kept as a random sample. Those of --items flagged or "
            "all are read the most suspect first, and are wrong more often than the rest."
        )
        return [Prose(text, "note")]
    found = share_wrong(here.store, here.name)
    if found is None:
        return [Prose("An estimate for the whole set follows when more of the first items are done than open.", "note")]
    value = f"{wording.percent(found.low)} to {wording.percent(found.high)}, {found.interval}"
    total = sum(here.review.strata)
    tiles = (
        Tile("Wrong labels", wording.percent(found.value), value),
        Tile("About", f"{round(found.value * total):,}", f"of {total:,} labels"),
    )
    text = f"From the first {found.n:,} of {progress.total:,} drawn items; {PARTIAL}"
    return [Heading("Wrong labels in the whole set"), Tiles(tiles), Prose(text)]


def _readers(progress: Progress) -> Table:
    heads = [Column("reader", number=False), Column("answered"), Column("share")]
    title = "Items on which a reader's verdict counts."
    if progress.left:
        heads.append(Column("left"))
        title += " Left: items assigned to the reader that still wait for this reader."
    lines = []
    for name in sorted(progress.readers.keys() | progress.left.keys()):
        n = progress.readers.get(name, 0)
        left = [f"{progress.left[name]:,}" if name in progress.left else "–"] if progress.left else []
        lines.append(cells.line(name, f"{n:,}", wording.percent(n / progress.total), *left))
    return Table(title, tuple(heads), tuple(lines), "narrow")


def _tiles(here: ReviewContext, progress: Progress) -> Tiles:
    count = {state: progress.states.get(state, 0) for state in ItemState}
    share = wording.percent(progress.done / progress.total)
    disputed = count[ItemState.DISPUTED]
    return Tiles(
        (
            Tile("Done", share, f"{progress.done:,} of {progress.total:,}"),
            Tile("Agreed", f"{count[ItemState.AGREED]:,}", "readers give the same answer"),
            Tile("Disputed", f"{disputed:,}", "wait for a settlement", bad=disputed > 0),
            Tile("Settled", f"{count[ItemState.SETTLED]:,}", "decided after a disagreement"),
        )
    )


@router.get("/reviews/{name}/agreement")
def show_agreement(here: InReview) -> Response:
    """Krippendorff's alpha of all readers, and Cohen's kappa of each pair, with intervals."""
    found = agreement_of([label.independent for label in here.store.labels_at(here.name)])
    lead: list[Text] = [f"Two readers or more have answered {found.items:,} items."]
    if not found.pairs:
        lead.append("Agreement can be measured once they have.")
    blocks: list[Block] = [Headline("Agreement", tuple(lead)), *agreement_blocks(found.to_json())]
    return answer_blocks(**here.layout("Agreement", "agreement"), blocks=blocks)


@router.get("/reviews")
def show_reviews(here: Here, session: Reader) -> Response:
    """The list of reviews."""
    reviews = [
        (ReviewContext(here, session, here.store, review, review.name), here.store.progress(review.name))
        for review in here.store.reviews()
    ]
    return answer("listing", title="Reviews of labels", session=session, reviews=reviews)
