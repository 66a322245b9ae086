"""Plans: by name, from YAML, from lists; wrong ones are refused before anything runs."""

from __future__ import annotations

import pytest

from unshaken.core.errors import ParameterError
from unshaken.run.plan import PLANS, THE_15, further_models, load_plan, prepare


@pytest.mark.parametrize("name", PLANS)
def test_named_plans_can_be_built(name):
    steps = prepare(load_plan(name))
    ids = [c.id for s in steps for c in s.conditions]
    assert len(set(ids)) == len(ids)
    assert all(s.conditions for s in steps)


def test_the_corruption_plan_is_15_by_5():
    conditions = [c for s in prepare(load_plan("corruptions")) for c in s.conditions]
    assert {(c.method, c.severity) for c in conditions} == {(m, s) for m in THE_15 for s in range(1, 6)}
    assert len(THE_15) == 15


def test_quick_has_corruptions_attacks_and_one_pixel_shift():
    conditions = {c.id for s in prepare(load_plan("quick")) for c in s.conditions}
    assert {"gaussian_noise-1", "translation-1", "fgsm-linf-0.0313725", "pgd-linf-0.1"} <= conditions


def write(tmp_path, text):
    path = tmp_path / "plan.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_yaml(tmp_path):
    path = write(
        tmp_path,
        """
        - {method: fog, severities: [1, 3]}
        - contrast
        - {method: pgd, params: {steps: 7, rel_stepsize: 1/4}, norm: l2, eps: [8/255, 0.5, 1e-2]}
        - {method: fgsm, eps: 2/255}
        """,
    )
    fog, contrast, pgd, fgsm = prepare(load_plan(path))
    assert [c.id for c in fog.conditions] == ["fog-1", "fog-3"]
    assert [c.severity for c in contrast.conditions] == [1, 2, 3, 4, 5]
    assert [c.eps for c in pgd.conditions] == [8 / 255, 0.5, 0.01]
    assert {c.norm for c in pgd.conditions} == {"l2"}
    assert (pgd.method.steps, pgd.method.rel_stepsize) == (7, 0.25)
    assert [c.eps for c in fgsm.conditions] == [2 / 255]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must be a list of lines"),
        ("[]", "must be a list of lines"),
        ("method: fog", "must be a list of lines"),
        ("- [", "is not valid YAML"),
        ("- {method: fgo}", "line 1: no method 'fgo': did you mean 'fog'"),
        ("- fog\n- {method: pdg, eps: 0.1}", "line 2: no method 'pdg': did you mean 'pgd'"),
        ("- {severities: [1]}", "line 1: method: Field required"),
        ("- {method: fog, severity: [1]}", "line 1: severity: Extra inputs"),
        ("- {method: fog, severities: [one]}", "line 1: severities=['one']: 'one' is not a whole number"),
        ("- {method: pgd, eps: [1/0]}", "line 1: eps=['1/0']: '1/0' is not a number or a fraction"),
        ("- 7", "line 1: line: Input should be"),
    ],
)
def test_wrong_yaml_is_refused_in_one_line(tmp_path, text, words):
    with pytest.raises(ParameterError) as caught:
        load_plan(write(tmp_path, text))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"method": "fog", "severities": [6]}, "fog: severity 6 is not one of [1, 2, 3, 4, 5]"),
        ({"method": "fog", "eps": [0.1]}, "fog: a stressor has severities, not eps"),
        ({"method": "fog", "params": {"strength": 2}}, "fog: no parameter 'strength'"),
        ({"method": "pgd"}, "pgd: give eps"),
        ({"method": "pgd", "eps": [0.1], "severities": [1]}, "pgd: an attack has eps, not severities"),
        ({"method": "pgd", "eps": [0.1], "norm": "l9"}, "pgd: norm 'l9' is not one of"),
        ({"method": "pgd", "eps": [-0.1]}, "pgd: eps -0.1 must be"),
        ({"method": "pgd", "eps": [0.1], "params": {"steps": 0}}, "pgd: steps=0"),
    ],
)
def test_wrong_values_are_refused_when_the_plan_is_made_ready(line, words):
    with pytest.raises(ParameterError) as caught:
        prepare(load_plan([line]))
    assert words in str(caught.value)


def test_unknown_plans_and_absent_files(tmp_path):
    with pytest.raises(ParameterError, match="no plan 'quik': did you mean 'quick'"):
        load_plan("quik")
    with pytest.raises(ParameterError, match="No such file"):
        load_plan(str(tmp_path / "absent.yaml"))
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(ParameterError, match="directory"):
        load_plan(str(tmp_path / "folder.yaml"))
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(ParameterError, match="is not valid YAML"):
        load_plan(str(tmp_path / "bytes.yaml"))


def test_the_same_line_twice_is_refused():
    with pytest.raises(ParameterError, match="the plan has the line for 'fog' twice"):
        prepare(load_plan(["fog", {"method": "contrast", "severities": [1]}, "fog"]))
    with pytest.raises(ParameterError, match="twice"):
        prepare(
            load_plan([{"method": "fog", "severities": [1, 2]}, "contrast", {"method": "fog", "severities": [1, 2]}])
        )


def test_one_method_with_other_parameters_gets_a_name_of_its_own():
    lines = [{"method": "pgd", "eps": [0.1], "params": {"steps": s}} for s in (5, 10, 20)]
    assert [s.conditions[0].id for s in prepare(load_plan(lines))] == [
        "pgd-linf-0.1",
        "pgd+2-linf-0.1",
        "pgd+3-linf-0.1",
    ]


def test_a_condition_twice_in_one_line_is_refused():
    for line in ({"method": "fog", "severities": [1, 1]}, {"method": "fgsm", "eps": [0.1, 0.1]}):
        with pytest.raises(ParameterError, match="twice"):
            prepare(load_plan([line]))


def test_the_models_that_methods_name_are_known():
    lines = [
        {"method": "transfer", "eps": [0.1], "params": {"surrogate": "demo:robust"}},
        {"method": "dual-smoothing", "params": {"right": "demo:standard"}},
        {"method": "adaptive-smoothing", "params": {"accurate": "demo:robust"}},
        {"method": "transfer", "eps": [0.2]},
        "fog",
    ]
    assert further_models(load_plan(lines)) == ["demo:robust", "demo:standard"]


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ({"method": "spatial", "norm": "l2"}, "spatial: norm 'l2' is given, but this method has none: remove it"),
        ({"method": "fog", "norm": "linf"}, "fog: norm 'linf' is given, but this method has none: remove it"),
        ({"method": "pgd", "norm": "l7", "eps": [0.1]}, "pgd: norm 'l7' is not one of linf, l2, l1"),
    ],
)
def test_a_norm_that_a_method_does_not_have_is_told(line, match):
    with pytest.raises(ParameterError, match=match):
        prepare(load_plan([line]))


@pytest.mark.parametrize(
    "second",
    [
        {"method": "pgd", "eps": [0.1], "params": {"steps": 40}},  # the default
        {"method": "pgd", "eps": [0.2, 0.1]},
        {"method": "pgd", "eps": [0.1], "norm": "linf"},
    ],
)
def test_a_condition_that_two_lines_have_is_refused_however_it_is_written(second):
    first = {"method": "pgd", "eps": [0.1]}
    with pytest.raises(ParameterError, match=r"^the plan has the line for 'pgd' twice: join their strengths in one"):
        prepare(load_plan([first, second]))
    assert len(prepare(load_plan([first, {"method": "pgd", "eps": [0.2]}, {**first, "params": {"steps": 7}}]))) == 3


@pytest.mark.parametrize(
    "line", [{"method": "pgd", "eps": [0.1] * 59_999}, {"method": "fog", "severities": [1] * 1001}]
)
def test_a_line_has_no_more_strengths_than_a_run_can_hold(line):
    with pytest.raises(
        ParameterError, match=r"line 1: .*(59,999|1,001) values are given: a line of a plan has 1000 at"
    ):
        load_plan([line])
