"""`run_trend`: a row at several values of one parameter, to see where the effect of each part goes."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from unshaken.core.consent import of_arguments
from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.core.options import TREND_RECORDS
from unshaken.core.texts import parse_values
from unshaken.core.values import split_items
from unshaken.papers.folders import find_row
from unshaken.papers.paper import at_scale, parse_scale
from unshaken.papers.result import PaperResult
from unshaken.papers.run import run_paper
from unshaken.papers.trend import NAME, Curve, Trend, TrendPoint
from unshaken.store.output import check_folder
from unshaken.store.run_dir import RunDir

(RECORD,) = TREND_RECORDS


@of_arguments
def run_trend(
    slug: str,
    over: str,
    *,
    along: str | None = None,
    scale: str = "quick",
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    data: str | None = None,
    model: str | None = None,
    download: bool = False,
) -> Trend:
    """Run a paper's experiment at several values of one parameter, such as images to learn from.

    A part whose effect is not visible at one size may rise towards the published conditions, or stay where it is.

    Args:
        slug: as for `run_paper`; parameters that are named in it hold at every value.
        over: a parameter and two values at least, as `images=500+1000+2000`.
        along: dotted name of a measured figure that is the place along the axis, such as `accuracy.plain.clean`, in the
            place of the parameter's values.
        scale: as for `run_paper`.
        seed: as for `run_paper`; the same one at every value.
        out: folder for the runs, each in a folder of its own; interrupted ones in it are resumed. Default: a new one
            below `runs/`.
        data: as for `run_paper`.
        model: as for `run_paper`.
        download: as for `run_paper`.

    Returns:
        The curves, also kept as `trend-PARAMETER.json` in the folder.

    Raises:
        UnshakenError: a run could not be done; or the parameter or its values are wrong.
    """
    name, given = parse_values(slug)
    parameter, values = _parse_over(over)
    row = find_row(name)
    if parameter not in row.model_fields or parameter in given:
        known = [field for field in row.model_fields if field not in given]
        raise ParameterError(
            f"over {over!r}: {name} has no free parameter {parameter!r}; {did_you_mean(parameter, known)}"
        )
    chosen = parse_scale(scale)
    for value in values:
        at_scale(row.from_text({**given, parameter: value}), chosen)  # all values are checked before the first run
    check_folder(out, "out", TREND_RECORDS)
    root = RunDir(out or f"runs/papers/{name}-{parameter}-{time.strftime('%Y%m%d-%H%M%S')}")
    root.write_json({"row": name, "parameter": parameter, "values": values, "scale": chosen, "seed": seed}, RECORD)
    texts = {v: f"{name}:{','.join(f'{key}={text}' for key, text in {**given, parameter: v}.items())}" for v in values}
    results = {
        value: run_paper(
            text, scale=scale, seed=seed, out=f"{root}/{parameter}={value}", data=data, model=model, download=download
        )
        for value, text in texts.items()
    }
    last = results[values[-1]]
    trend = Trend(
        slug=name,
        parameter=parameter,
        along=along or parameter,
        scale=chosen,
        seed=seed,
        data=last.data,
        model=last.model,
        seconds=sum(result.seconds for result in results.values()),
        curves=tuple(_curves([(_place(v, r, along), r) for v, r in results.items()])),
        provenance=last.provenance,
    )
    root.write_json(trend.to_json(), NAME.format(parameter))
    return trend


def _parse_over(over: str) -> tuple[str, list[str]]:
    parameter, _, text = over.partition("=")
    values = list(dict.fromkeys(split_items(text)))
    if not parameter or len(values) < 2:
        raise ParameterError(f"over {over!r}: name a parameter and two different values, as images=500+1000+2000")
    return parameter, values


def _place(value: str, result: PaperResult, along: str | None) -> float:
    """Where a run stands along the axis."""
    if along is None:
        try:
            return float(value)
        except ValueError:
            raise ParameterError(f"over: {value!r} is no number: give along, the name of a figure") from None
    found = result.measured.get(along)
    number = found.get("value") if isinstance(found, dict) else found
    if not isinstance(number, int | float):
        raise ParameterError(f"along {along!r} is no measured figure; {did_you_mean(along, result.measured)}")
    return float(number)


def _curves(runs: Sequence[tuple[float, PaperResult]]) -> list[Curve]:
    """The effects of all checks that have one in two runs at least, by part and words."""
    points: dict[tuple[str, str], list[TrendPoint]] = {}
    for at, result in sorted(runs, key=lambda run: run[0]):
        for check in result.checks:
            if check.effect is not None:
                value, low, high = check.effect
                words = check.words.rpartition(": ")[0]
                points.setdefault((check.part, words), []).append(TrendPoint(at=at, value=value, low=low, high=high))
    return [Curve(part=p, words=w, points=tuple(found)) for (p, w), found in points.items() if len(found) > 1]
