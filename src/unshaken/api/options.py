"""`check_options`: the options of a run, checked before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Unpack, get_args, get_origin

from unshaken.core.errors import ParameterError
from unshaken.core.numbers import in_range, shorten
from unshaken.core.options import RUN_RECORDS, Options, declared
from unshaken.report.gates.grammar import Gate
from unshaken.run.engine import read_engine
from unshaken.store.output import check_folder
from unshaken.store.split import parse_part

LONGEST_NAME = 100
"""Characters of a model's name in reports."""
TITLES = {"save_examples": "number of pictures or maps kept"}
"""Options that messages call by another name, as `unshaken.explain` has them too."""


def check_options(*, records: Sequence[str] = RUN_RECORDS, **given: Unpack[Options]) -> Options:
    """Check options of a run.

    Args:
        records: what the run directory has in it where it is of the kind that will be written; see `check_folder`.
        given: see `Options`.

    Returns:
        All options, those that were not given with their defaults.

    Raises:
        ParameterError: a value is wrong, or two do not go together; the message says how to fix it.
    """
    options: Options = {**_DEFAULTS, **given}
    if isinstance(options["gates"], str):
        options["gates"] = (options["gates"],)
    read_engine(options["engine"], options["device"])
    if options["share"] and options["out"] is None:
        raise ParameterError("a shared run needs an --out that all processes see")
    if options["share"] and options["register"] is not None:
        raise ParameterError(
            f"register {options['register']!r}: each process of a shared run would register a version; leave it away, "
            "and register at the end by the same command with --resume and without --share"
        )
    if isinstance(options["slices"], str):
        options["slices"] = (options["slices"],)
    if options["part"] is not None:
        parse_part(options["part"])
        whole = {name: options[name] for name in ("gates", "baseline", "track", "register", "slices", "meta")}
        further = dict.fromkeys(("gates", "baseline"), "give it to unshaken merge")
        further |= dict.fromkeys(("slices", "meta"), "divide the merged run by unshaken slices")
        for key in (key for key, value in whole.items() if value):
            last = further.get(key, "leave it away")
            raise ParameterError(
                f"{key.rstrip('s')} is for a whole run, and part {options['part']} computes only a part of one: {last}"
            )
    values = dict(options)
    for key, (_, option) in _DECLARED.items():
        value, (_, word) = values[key], option.word or ("", None)
        if option.bounds is not None and value is not None and value != word:
            least = min(option.bounds[0], word) if isinstance(word, int) else option.bounds[0]
            in_range(TITLES.get(key, key.replace("_", " ")), value, least, option.bounds[1])
    check_folder(options["out"], "out", records)
    name = options["name"]
    if name is not None and not (0 < len(name) <= LONGEST_NAME and name.isprintable()):
        raise ParameterError(f"name {shorten(name)} must be 1 to {LONGEST_NAME} printable characters")
    for key, (kind, _) in _DECLARED.items():
        if get_origin(kind) is Literal and values[key] not in get_args(kind):
            raise ParameterError(f"{key.replace('_', '-')} {values[key]!r} is not one of {', '.join(get_args(kind))}")
    for gate in options["gates"]:
        Gate.parse(gate)
    return options


_DECLARED = declared(Options)
_DEFAULTS: Options = {name: option.default for name, (_, option) in _DECLARED.items()}  # type: ignore[assignment]
