"""`unshaken labels find|train|estimate`, and the review of labels."""

from __future__ import annotations

from typing import Annotated, Any

from unshaken.cli.complete import complete_data, complete_methods, names
from unshaken.cli.harden import train, training_options
from unshaken.cli.label_review import agree, compare, export, import_, open_store, review
from unshaken.cli.names import check_data, check_method
from unshaken.cli.options import (
    START_MODEL,
    AllowCode,
    Data,
    Database,
    Device,
    Download,
    Engine,
    Epochs,
    Json,
    LearningRate,
    Limit,
    NewHead,
    Out,
    Resume,
    ReviewName,
    Run,
    Seed,
    Set,
    StepSize,
    TrainingDevice,
    TrainingLimit,
    TrainingSeed,
    TrainingTrack,
    TrainingWorkers,
    Workers,
)
from unshaken.cli.runs import name_bad_samples
from unshaken.cli.session import Session, progress
from unshaken.cli.show import print_json, print_line
from unshaken.cli.verb import group, verb
from unshaken.core.errors import ParameterError
from unshaken.core.options import COUNT, LABEL_RECORDS, Option, OutputFolder

USUAL = "elr"
"""The recipe unless another is asked for."""

LabelledData = Annotated[
    str | None,
    Option(
        "Labelled images: demo, folder:DIR, parquet:FILE, cifar10, or another data SPEC.",
        "SPEC",
        complete=complete_data,
        read=check_data,
    ),
]
PredProbs = Annotated[
    str | None,
    Option(
        "Out-of-sample probabilities instead: .npy [N, K] in the order of the data, or .parquet with the columns "
        "id and p_CLASS. With --kind: .npy [N, K], boxes .json, or .npy [N, K, H, W].",
        "FILE",
    ),
]

app = group("labels", help="Find wrong labels, review them, and train in spite of them.")


@app.command("train")
@verb(first="data method model epochs limit out")
def train_in_spite(
    session: Session,
    data: Data,
    method: Annotated[
        list[str] | None,
        Option(
            f"Training recipe: {', '.join(names('harden/recipes/noisy_labels'))}; others of 'unshaken list harden' "
            "beside it. May be repeated. Default: elr.",
            "NAME[:k=v,...]",
            flags="--method,--recipe",
            read=check_method("harden"),
        ),
    ] = None,
    model: Annotated[str, START_MODEL] = "small-cnn",
    out: Out = None,
    resume: Resume = False,
    epochs: Epochs = None,
    batch_size: StepSize = None,
    lr: LearningRate = None,
    seed: TrainingSeed = 0,
    set_: Set = None,
    limit: TrainingLimit = None,
    new_head: NewHead = False,
    device: TrainingDevice = "auto",
    workers: TrainingWorkers = None,
    track: TrainingTrack = None,
    download: Download = False,
    allow_code: AllowCode = None,
    json: Json = False,
) -> int:
    """Train a model on labels of which some are wrong; the same as `unshaken harden` with a recipe for noisy labels.

    Exit codes: 0 success, 2 wrong usage or bad input, 3 finished, but some images were unreadable.
    """
    training = training_options(set_ or [], epochs=epochs, batch_size=batch_size, lr=lr, seed=seed)
    execution = {"device": device, "workers": workers, "download": download, "resume": resume, "track": track}
    execution |= {"limit": limit, "new_head": new_head}
    return train(session, model, data, method or [USUAL], out, {**execution, **training}, as_json=json)


app.command("review")(review)
app.command("export")(export)
app.command("import")(import_)
app.command("agree")(agree)
app.command("compare")(compare)


@app.command("find")
@verb(first="data method model review-size limit out", python="labels.find_labels")
def find(
    session: Session,
    data: LabelledData = None,
    method: Annotated[
        list[str] | None,
        Option(
            "Method; see 'unshaken list labels'. May be repeated; the first decides what is reviewed. "
            "Default: confident-learning.",
            "NAME[:k=v,...]",
            complete=complete_methods("labels"),
            read=check_method("labels"),
        ),
    ] = None,
    model: Annotated[
        str,
        Option(
            "Architecture to cross-validate, or a trained model whose features are frozen; auto: the features of an "
            "ImageNet network for photos in colour (extra imagenet), else small-cnn.",
            "auto|ARCH|SPEC",
        ),
    ] = "auto",
    pred_probs: PredProbs = None,
    kind: Annotated[
        str,
        Option(
            "What a label is: classes (one an image), multilabel, boxes or masks; the last three read --labels and "
            "--pred-probs from files.",
            "NAME",
        ),
    ] = "classes",
    labels: Annotated[
        str | None,
        Option(
            "Labels, with --kind: multilabel .npy [N, K] of 0 and 1 or .json; boxes .json; masks .npy [N, H, W].",
            "FILE",
        ),
    ] = None,
    folds: Annotated[int, Option("Number of cross-validation folds.", "N", (2, 100))] = 5,
    epochs: Annotated[
        int | None, Option("Training epochs per fold. Default: as many as 400 steps take, 12 to 25.", "N", COUNT)
    ] = None,
    review_size: Annotated[
        int, Option("Number of samples to draw for review (6 or more); 0 for none.", "N", (0, 1_000_000))
    ] = 200,
    limit: Limit = None,
    seed: Seed = 0,
    out: Annotated[str | None, OutputFolder("Run directory.", "DIR", records=LABEL_RECORDS)] = None,
    resume: Resume = False,
    workers: Workers = None,
    device: Device = "auto",
    engine: Engine = "local",
    download: Download = False,
    allow_code: AllowCode = None,
    json: Json = False,
) -> int:
    """Find labels that are probably wrong, and draw the sample that tells how many there are.

    With --kind, labels of several classes, boxes or masks are read from a file, and so are predictions.

    Exit codes: 0 success, 2 wrong usage or bad input, 3 finished, but some samples were unreadable.
    """
    from unshaken.api.labels import find_labels

    if kind != "classes":
        return _find_kind(session, kind, labels, pred_probs, out, json=json, others=bool(data or method or resume))
    if data is None or labels is not None:
        raise ParameterError("--labels goes with --kind; for one class an image give --data SPEC, which has its labels")
    training = training_options([], epochs=epochs, batch_size=None, lr=None, seed=seed)
    with progress(session):
        result = find_labels(
            data, method or "confident-learning", model=model, pred_probs=pred_probs, folds=folds,
            review_size=review_size, limit=limit, out=out, resume=resume, device=device, workers=workers, engine=engine,
            download=download, **training,
        )  # fmt: skip
    if json:
        print_json(result.summary)
    else:
        _show_found(result.summary, str(result.run), quiet=session.quiet)
    return name_bad_samples(result.bad_samples)


def _show_found(record: dict[str, Any], run: str, *, quiet: bool) -> None:
    """Print what each method found and what people should review, unless quiet, and where the report is."""
    from unshaken.report.pages.labels import expected_sentence, share_sentence

    if not quiet:
        for name, one in record["found"].items():
            wrong = "ranked" if one["flagged"] is None else f"{one['flagged']:,} of {record['samples']:,} flagged"
            truth = f"; AUROC {one['judged']['auroc']['value']:.3f} on the true labels" if "judged" in one else ""
            print_line(f"{name}: {wrong}{expected_sentence(one)}{truth}")
        print_line(share_sentence(record, run))
        if record["review"]:
            print_line(f"to review: {len(record['review']['ids']):,} samples, listed in {run}/labels.json")
    print_line(f"report: {run}/report.html")


def _find_kind(
    session: Session,
    kind: str,
    labels: str | None,
    pred_probs: str | None,
    out: str | None,
    *,
    json: bool,
    others: bool,
) -> int:
    """Find wrong labels that are not one class an image."""
    from unshaken.api.label_kinds import find_labels_of_kind

    if labels is None or pred_probs is None or others:
        raise ParameterError(
            f"--kind {kind} reads labels and predictions from files: give --labels FILE and --pred-probs FILE, and "
            "leave --data, --method and --resume out"
        )
    result = find_labels_of_kind(kind, labels, pred_probs, out=out)
    if json:
        print_json(result.summary)
    elif not session.quiet:
        print_line(f"{kind}: {result.summary['flagged']:,} of {result.summary['samples']:,} samples flagged")
    if not json:
        print_line(f"report: {result.run}/report.html")
    return 0


@app.command("estimate")
@verb(python="labels.estimate_wrong")
def estimate(
    session: Session,
    run: Run,
    verdicts: Annotated[
        str | None,
        Option(
            "What people say of the samples to review: columns id and verdict (right, wrong or unclear). "
            "Default: the verdicts of the review in DIR.",
            "FILE.csv",
        ),
    ] = None,
    db: Database = None,
    review_name: ReviewName = "review",
    json: Json = False,
) -> int:
    """Estimate how many labels of the whole set are wrong, from people's verdicts on the samples to review.

    Without --verdicts they are those of the review in DIR. A review that has begun will do: the interval is wider.
    """
    from unshaken.api.label_record import estimate_wrong, read_record
    from unshaken.store.run_dir import RunDir

    if verdicts is None:
        from unshaken.serve.review.exchange import verdict_words  # needs the extra serve
        from unshaken.serve.review.from_run import read_search

        sample = read_search(RunDir(run)).review
        with open_store(run, db) as store:
            given: str | dict[str, str] = verdict_words(
                store.outcome(review_name), [] if sample is None else sample.ids
            )
    else:
        given = verdicts
    figure = estimate_wrong(run, given)
    if json:
        print_json(figure.to_json())
    elif not session.quiet:
        record = read_record(RunDir(run))
        n, drawn = record["samples"], len(record["review"]["ids"])
        ends = f"{figure.low:.1%} to {figure.high:.1%}"
        counts = f"{round(figure.value * n):,} of {n:,}, {round(figure.low * n):,} to {round(figure.high * n):,}"
        print_line(f"wrong labels: {figure.value:.1%} ({ends}, {figure.interval}); that is {counts}")
        if figure.n < drawn:
            print_line(f"from the first {figure.n:,} of {drawn:,} drawn samples; more verdicts narrow the interval")
            print_line("the interval is for a number of verdicts fixed in advance, not for stopping where it pleases")
    return 0
