"""An example inside a certified radius is an error of the package, and is said to be one."""

import pyarrow as pa

import unshaken.certify.engine.base  # noqa: F401  declares the table
from unshaken.run import load_plan
from unshaken.run.flags import Order, broken, subjects
from unshaken.store.tables import schema_of

SMOOTHED = "smoothed at sigma=0.25"
WHOM = {
    "smoothing-0.25": SMOOTHED,
    "smoothing-attack-l2-0.5": SMOOTHED,
    "smoothing-attack+2-l2-0.5": "smoothed at sigma=0.5",
    "ibp-linf-0.1": "model",
    "pgd-linf-0.1": "model",
    "pgd-l2-0.1": "model",
}


def outcomes(*rows):
    names = ("id", "condition", "norm", "prediction", "distance")
    columns = {n: [r[i] for r in rows] for i, n in enumerate(names)}
    return pa.table({n: pa.array(v, schema_of("outcomes").field(n).type) for n, v in columns.items()})


def certificates(*rows):
    """Condition, id, norm, radius, class, alpha, abstained."""
    names = ("condition", "id", "norm", "radius", "prediction", "alpha", "abstained")
    columns = {n: [r[i] for r in rows] for i, n in enumerate(names)}
    return pa.table({n: pa.array(v, schema_of("certificates").field(n).type) for n, v in columns.items()})


def check_order(outcomes, certificates, subject_of):
    order = Order(subject_of)
    order.add(outcomes, certificates)
    return order.flags()


SURE = certificates(
    ("smoothing-0.25", "a", "l2", 0.4, 1, 0.001, False),
    ("smoothing-0.25", "b", "l2", 0.0, 1, 0.001, False),
    ("smoothing-0.25", "c", "l2", 0.4, 1, 0.001, True),
    ("ibp-linf-0.1", "a", "linf", 0.1, 2, 0.0, False),
)


def test_another_answer_inside_the_radius_contradicts():
    found = broken(outcomes(("a", "smoothing-attack-l2-0.5", "l2", 0, 0.3)), SURE, WHOM)
    assert found == {"smoothing-0.25": ("a",)}


def test_what_does_not_contradict():
    fine = outcomes(
        ("a", "smoothing-attack-l2-0.5", "l2", 0, 0.41),  # beyond the radius
        ("a", "smoothing-attack-l2-0.5", "l2", 1, 0.3),  # the same answer
        ("a", "smoothing-attack-l2-0.5", "l2", 0, 0.0),  # nothing was changed
        ("b", "smoothing-attack-l2-0.5", "l2", 0, 0.1),  # nothing was certified
        ("c", "smoothing-attack-l2-0.5", "l2", 0, 0.1),  # it abstained
        ("a", "smoothing-attack+2-l2-0.5", "l2", 0, 0.1),  # another smoothed classifier
        ("a", "pgd-l2-0.1", "l2", 0, 0.1),  # the model itself
        ("a", "pgd-linf-0.1", "linf", 2, 0.05),
        ("a", "unplanned", "l2", 0, 0.1),
    )
    assert broken(fine, SURE, WHOM) == {}
    assert check_order(fine, SURE, WHOM) == []


def test_the_flag_says_whose_error_it_is():
    wrong = outcomes(("a", "pgd-linf-0.1", "linf", 0, 0.1 * (1 - 1e-5)), ("a", "smoothing-attack-l2-0.5", "l2", 0, 0.3))
    exact, chance = check_order(wrong, SURE, WHOM)
    assert (exact.name, exact.ids) == ("certificate-broken", ("a",))
    assert "of 1 of 1 samples; none may be: this is an error of unshaken" in exact.detail
    assert "about 0.003 are expected by chance (alpha=0.001)" in chance.detail


def test_whom_conditions_speak_of_follows_from_the_plan():
    plan = load_plan(
        [
            {"method": "smoothing", "params": {"sigma": 0.5}},
            {"method": "smoothing-attack", "params": {"sigma": 0.5}, "eps": [0.25]},
            {"method": "dual-smoothing", "params": {"sigma": 0.5}},
            {"method": "pgd", "eps": [0.1]},
            {"method": "fog", "severities": [1]},
        ]
    )
    assert subjects(plan) == {
        "smoothing-0.5": "smoothed at sigma=0.5",
        "smoothing-attack-l2-0.25": "smoothed at sigma=0.5",
        "dual-smoothing-0.5": "sum of two halves smoothed at sigma=0.5 and 0.5",
        "pgd-linf-0.1": "model",
        "fog-1": "model",
    }
