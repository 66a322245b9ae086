"""Whatever is written into an option, a method's parameter or a file: it is taken, or refused in one line.

Nothing is computed here: values are parsed and validated, as many kinds of odd ones as there are.
"""

from __future__ import annotations

import contextlib
import io
import json
import math

import pytest
import typer
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unshaken.api.options import check_options
from unshaken.cli.app import app
from unshaken.cli.session import Session, explain
from unshaken.core.device import find_device
from unshaken.core.errors import UnshakenError
from unshaken.core.numbers import LARGEST, LARGEST_SEED
from unshaken.core.options import declared
from unshaken.core.registry import list_methods, parse_method
from unshaken.data.shards import _spread
from unshaken.data.spec import divide, existing, options_of
from unshaken.detect.engine.abnormal_sets import parse_against
from unshaken.detect.engine.detector_folder import LIST, read_list
from unshaken.detect.moderation.moderation_policy import read_policy
from unshaken.harden.engine.harden_file import read_harden
from unshaken.harden.engine.judgement import read_summary
from unshaken.models.loaders.from_run import read_record
from unshaken.models.loaders.options import class_names, image_size, numbers
from unshaken.models.loaders.spec import parse_model_spec
from unshaken.report.gates import Gate
from unshaken.run import load_plan
from unshaken.run.plan import prepare
from unshaken.store.address import check_writable, open_address
from unshaken.store.config import read_config
from unshaken.store.read_rows import parse_rows
from unshaken.store.run_dir import RunDir

FEW = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)

ODD = (
    *(
        "",
        " ",
        "\n",
        "\t",
        "\x00",
        "\x1b[2J",
        "nan",
        "inf",
        "-inf",
        "Infinity",
        "1e999",
        "-1",
        "0",
        "-0",
        "1",
        "2",
        "7",
    ),
    *("1_0", " 5", "5 ", "5 s", "٣", "٨/٢٥٥", "０", "1/0", "0/0", "8/255", "1e308", "1e-400", "0x10", "1:30", "True"),
    *(
        "true",
        "None",
        "null",
        "[]",
        "{}",
        "9" * 25,
        "9" * 5000,
        "-" + "9" * 25,
        "..",
        "../x",
        "~nosuchuser/x",
        "/",
        "a,b",
    ),
    *("a=b", "=", ":", "?", "%s", "{0}", "<script>", "\ud800", "é", "x" * 300, "data:,x", "reference://x", "a::b"),
    *("dbfs://x", "cpu:99", "cpu:0:0", "cuda:-1", "l7", "auto", "all", "{9..1}", "{0..99999999999}", "{a,b}" * 30),
)
texts = st.one_of(st.sampled_from(ODD), st.text(max_size=12), st.from_regex(r"-?[0-9_. /eE+-]{1,12}", fullmatch=True))
scalars = st.one_of(
    texts.filter(lambda s: "\ud800" not in s),
    st.booleans(),
    st.none(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.sampled_from([10**5000, -(10**400), 2**63, -1, 0]),
)
values = st.one_of(scalars, st.lists(scalars, max_size=3), st.dictionaries(st.sampled_from("abc"), scalars, max_size=2))


def refused(act):
    """What `act` returns, or None where the command line would refuse in one line; a bug that it meets is raised."""
    stderr = io.StringIO()
    try:
        return act()
    except Exception as error:
        with contextlib.redirect_stderr(stderr):
            code = explain(error, Session())
        if "this is a bug" in stderr.getvalue():
            raise
    assert (code, stderr.getvalue().count("\n")) == (2, 1)
    assert len(stderr.getvalue()) > len("unshaken: .\n")
    return None


def commands():
    """Every command of the program, with its path."""

    def walk(command, path):
        found = getattr(command, "commands", {})
        for name, inner in found.items():
            yield from walk(inner, [*path, name])
        if path and (not found or path == ["harden"]):
            yield path, command

    return list(walk(typer.main.get_command(app), []))


COMMANDS = commands()


def options():
    """Every option of every command: those that several commands share are marked `long` but for the first."""
    known = set()
    for path, command in COMMANDS:
        for option in command.params:
            if not getattr(option, "is_flag", False) and option.name != "help":
                declaration = (option.name, option.required, getattr(option, "help", None))
                marks = pytest.mark.long if declaration in known else ()
                known.add(declaration)
                yield pytest.param(command, option, id=" ".join([*path, option.name]), marks=marks)


def typed(command, option, text):
    """The arguments that give an option this text, and all others what they need."""
    words = []
    for other in command.params:
        value = text if other is option else "demo"
        if other.param_type_name == "argument":
            words.append(value)
        elif other is option or other.required:
            words = [f"{other.opts[-1] if len(other.opts) == 1 else other.opts[0]}={value}", *words]
    return words if option.param_type_name == "option" else [*words[:-1], "--", words[-1]]


@pytest.mark.parametrize(("command", "option"), list(options()))
def test_an_option_is_taken_or_refused(command, option):
    @FEW
    @given(texts)
    def one(text):
        context = refused(lambda: command.make_context("x", typed(command, option, text)))
        if context is None:
            return
        found = context.params.get(option.name)
        for value in found if isinstance(found, list | tuple) else [found]:
            assert not isinstance(value, str) or value.strip()
            assert not isinstance(value, int | float) or (math.isfinite(value) and abs(value) <= LARGEST_SEED)
        usual = {name: option.default for name, (_, option) in declared().items()}
        if usual.keys() <= context.params.keys():
            given = {n: value for n in usual if (value := context.params[n]) is not None}
            refused(lambda: check_options(**given))

    one()


@pytest.mark.parametrize("room", sorted({m.room for m in list_methods()}))
def test_a_parameter_is_taken_or_refused(room):
    methods = [m for m in list_methods(room) if m.cls.model_fields]

    @settings(FEW, max_examples=max(40, 3 * len(methods)))
    @given(st.data())
    def one(data):
        method = data.draw(st.sampled_from(methods))
        name = data.draw(st.sampled_from(sorted(method.cls.model_fields)))
        value = data.draw(values)
        made = refused(lambda: method.cls.from_text({name: value}))
        if made is not None:
            kept = getattr(made, name)
            assert (
                not isinstance(kept, int | float) or isinstance(kept, bool) or abs(kept) <= max(LARGEST, LARGEST_SEED)
            )
            assert isinstance(kept, bool) or not isinstance(value, bool) or not isinstance(kept, int | float)

    one()


@FEW
@given(texts, texts, texts)
def test_a_method_as_text(name, key, value):
    refused(lambda: parse_method(f"pgd{name}"))
    refused(lambda: parse_method(f"pgd:steps={value}"))
    refused(lambda: parse_method(f"smoothing:radii={value},{key}={value}"))


@settings(FEW, max_examples=100)
@given(texts)
def test_texts_of_other_kinds(text):
    for act in (
        lambda: Gate.parse(f"clean.accuracy >= {text}"),
        lambda: Gate.parse(f"pgd[eps={text}].accuracy >= 0.5"),
        lambda: Gate.parse(text),
        lambda: parse_against(text),
        lambda: parse_against(f"far/{text}=demo"),
        lambda: find_device(text),
        lambda: check_writable(open_address(text)[0], text),
        lambda: _spread(text, text),
        lambda: options_of(text, divide(f"folder:x?size={text}")[2], ("size", "mode"), download=False),
        lambda: existing(text, text, folder=True),
        lambda: load_plan(text),
    ):
        refused(act)
    for option, read in (("size", image_size), ("classes", class_names), ("mean", lambda s: numbers(s, "mean"))):
        refused(lambda option=option, read=read: read(parse_model_spec(f"demo?{option}={text}")))


def documents(tmp_path):
    """Each reader of a JSON file with the file's name and a good value, if an empty one is not good enough."""
    run = RunDir(tmp_path)
    detectors = {"schema": 1, "detectors": [{"label": "msp", "method": "msp", "params": {}}]}
    detectors |= {"anatomy": {"head": None, "stages": [], "classes": 2}, "about": {"samples": {"calibration": 9}}}
    shape = {"classes": 2, "channels": 3, "side": 8}
    audit = {"schema": 1, "model": "demo", "data": "demo", "plan": [{"method": "fog"}], "ids": ["a"], "shard_size": 16}
    harden = {"schema": 1, "model": "small", "data": "demo", "recipes": [], "training": {"epochs": 1}, "arch": "small"}
    audit |= dict.fromkeys(("model_fingerprint", "data_fingerprint", "model_name"), "x")
    harden |= {"classes": ["a", "b"], "shape": shape, "data_fingerprint": "x", "images": {"usable": 9}}
    summary = {"clean": {"value": 0.5}, "conditions": [{"condition": "fog-1", "method": "fog"}]}
    return {
        LIST: (lambda: read_list(str(tmp_path)), detectors),
        "run.json": (lambda: read_config(run), audit),
        "model.json": (lambda: read_record(tmp_path), {"arch": "small", "options": {"mean": [0.0]}, "shape": shape}),
        "harden.json": (lambda: read_harden(run), harden),
        "summary.json": (lambda: read_summary(run), summary),
    }  # fmt: skip


def changed(value, data):
    """The value with one part of it replaced by something odd."""
    if isinstance(value, dict) and value and data.draw(st.integers(0, 3)):
        key = data.draw(st.sampled_from(sorted(value)))
        return {**value, key: changed(value[key], data)}
    if isinstance(value, list) and value and data.draw(st.booleans()):
        return [changed(value[0], data), *value[1:]]
    return data.draw(values)


def encoded(value):
    try:
        return json.dumps(value)
    except ValueError:  # more digits than Python writes
        return "9" * 5000


@pytest.mark.parametrize("name", [LIST, "run.json", "model.json", "harden.json", "summary.json"])
def test_a_json_file_is_taken_or_refused(name, tmp_path):
    read, good = documents(tmp_path)[name]
    (tmp_path / name).write_text(json.dumps(good))
    assert read() is not None

    @settings(FEW, max_examples=80)
    @given(st.data())
    def one(data):
        text = encoded(changed(good, data))
        torn = data.draw(st.sampled_from([None, 0, 1, len(text) // 2]))
        (tmp_path / name).write_bytes(text.encode("utf-8", "surrogatepass")[:torn])
        refused(read)

    one()
    for hostile in (b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b"", b"NaN", b"9" * 5000):
        (tmp_path / name).write_bytes(hostile)
        assert refused(read) is None


@settings(FEW, max_examples=50)
@given(st.data())
def test_a_plan_is_taken_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "odd.yaml"
    good = [{"method": "pgd", "eps": [0.1], "params": {"steps": 3}}, {"method": "fog", "severities": [1]}]
    lines = data.draw(st.one_of(st.builds(lambda: changed(good, data)), st.just(good)))
    text = data.draw(st.one_of(st.just(None), texts.filter(lambda s: "\ud800" not in s)))
    try:
        path.write_text(yaml.safe_dump(lines) if text is None else f"- {{method: fog, severities: [{text}]}}", "utf-8")
    except (ValueError, yaml.YAMLError):
        return
    refused(lambda: prepare(load_plan(str(path))))
    refused(lambda: read_policy(path))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- " + "[" * 100_000, "nested more than 50 levels"),
        ("- {method: !!timestamp x}", "tag"),
        ("- !!python/object/apply:os.system ['true']", "tag"),
        ("&a [*a]", "an alias holds itself"),
        ("- &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
            f"- &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcde", "bcdef", strict=True)), "aliases"),
        ("- {method: fog, method: snow}", "stands twice"),
        ("- {method: fog, severities: [0x1]}", "severities"),
        ("- {method: fog, severities: [1_0]}", "severities"),
        ("- {method: fog, severities: [1:30]}", "severities"),
        ("- {method: fog, severities: [true]}", "a boolean is not a number"),
        ("- {method: pgd, eps: [.nan]}", "finite"),
        ("- {method: pgd, eps: [0.1], params: {steps: true}}", "a boolean is not a number"),
        ("- {method: pgd, eps: ['٨/255']}", "is not a number or a fraction"),
    ],
)  # fmt: skip
def test_hostile_yaml(tmp_path, text, words):
    (tmp_path / "plan.yaml").write_text(text, "utf-8")
    with pytest.raises(UnshakenError, match=words) as caught:
        prepare(load_plan(str(tmp_path / "plan.yaml")))
    assert "\n" not in str(caught.value)


@FEW
@given(st.binary(max_size=200), texts)
def test_rows_are_taken_or_refused(data, name):
    refused(lambda: parse_rows(data, "outcomes", "fog-1-00000.parquet", "run"))
    refused(lambda: parse_rows(data, "outcomes", name, "run"))
