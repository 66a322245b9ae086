import numpy as np
import pytest

from unshaken.attack.fooling import Cppn
from unshaken.attack.fooling.cppn import WEIGHT
from unshaken.attack.fooling.cppn_draw import INPUTS, KINDS
from unshaken.core.errors import ParameterError

STILL = {
    "add_connection": 0,
    "delete_connection": 0,
    "change_connection": 0,
    "add_node": 0,
    "delete_node": 0,
    "weight_rate": 0,
    "function_rate": 0,
}


def only(**rates):
    return Cppn(**{**STILL, "hidden": 6, **rates})


def begun(encoding, n=40, outputs=1, seed=0):
    return encoding.begin(n, (outputs, 4, 4), np.random.default_rng(seed))


def grown(encoding, n=40, outputs=1, generations=30):
    rng = np.random.default_rng(5)
    graphs = begun(encoding, n, outputs)
    for g in range(generations):
        graphs = encoding.vary(graphs, g, rng)
    return graphs


def test_the_first_graphs_wire_inputs_straight_to_outputs():
    graphs = begun(Cppn(hidden=5), n=300, outputs=3)
    assert graphs.wired.sum((1, 2)).unique().tolist() == [4 * 3]
    assert graphs.wired[:, INPUTS : INPUTS + 3, :INPUTS].all()
    assert graphs.alive.sum(1).unique().tolist() == [4 + 3]
    weights = graphs.weight[graphs.wired]
    assert -WEIGHT <= float(weights.min()) < -0.95 * WEIGHT
    assert 0.95 * WEIGHT < float(weights.max()) <= WEIGHT
    assert graphs.kind.unique().tolist() == list(range(len(KINDS)))


@pytest.mark.parametrize("outputs", [1, 3])
def test_grown_graphs_are_sound(outputs):
    graphs = grown(Cppn(hidden=6), outputs=outputs)
    wired, alive = graphs.wired.numpy(), graphs.alive.numpy()
    m, first_hidden = wired.shape[1], INPUTS + outputs
    power = np.linalg.matrix_power(wired.astype(float), m)
    assert (power == 0).all()  # no circle
    assert not wired[:, :INPUTS].any()  # nothing leads into inputs
    assert not wired[:, :, INPUTS:first_hidden].any()  # nor out of outputs
    assert not (wired & ~(alive[:, :, None] & alive[:, None, :])).any()
    assert alive[:, :first_hidden].all()
    assert int(alive[:, first_hidden:].sum(1).max()) <= 6
    assert not (alive[:, first_hidden:] & ~wired[:, :, first_hidden:].any(1)).any()  # no dead end
    assert (np.abs(graphs.weight.numpy()) <= WEIGHT).all()
    assert (graphs.weight.numpy()[~wired] == 0).all()


def test_without_mutation_children_are_their_parents_in_either_order():
    parents = begun(only())
    children = only().vary(parents, 1, np.random.default_rng(0))
    swapped = 0
    for i in range(0, 40, 2):
        here, there = parents.weight[i : i + 2], children.weight[i : i + 2]
        straight = bool((here == there).all())
        assert straight or bool((here.flip(0) == there).all())
        swapped += not straight
    assert 4 <= swapped <= 16


def counts(encoding, parents):
    children = encoding.vary(parents, 1, np.random.default_rng(1))
    return children, children.wired.sum((1, 2)).unique().tolist(), children.alive.sum(1).unique().tolist()


def test_a_connection_goes():
    assert counts(only(delete_connection=1), begun(only()))[1:] == ([3], [5])


def test_a_split_connection_keeps_its_weight_behind_the_new_node():
    parents = begun(only())
    children, wires, nodes = counts(only(add_node=1), parents)
    assert (wires, nodes) == ([5], [6])
    assert (children.weight[:, 5, :INPUTS].sum(1) == 1).all()  # 1 into the node, from one input
    source = children.wired[:, 5, :INPUTS].int().argmax(1)
    old = {round(w, 12) for w in parents.weight[parents.wired].tolist()}
    assert {round(w, 12) for w in children.weight[:, 4, 5].tolist()} <= old
    assert not children.wired[range(40), 4, source].any()


def test_a_node_goes_with_its_connections_and_a_full_graph_takes_no_more():
    split = only(add_node=1).vary(begun(only()), 1, np.random.default_rng(2))
    assert counts(only(delete_node=1), split)[1:] == ([3], [5])
    full = grown(only(add_node=1, hidden=2), generations=5)
    assert full.alive.sum(1).unique().tolist() == [4 + 1 + 2]
    assert full.wired.sum((1, 2)).unique().tolist() == [4 + 2]
    none = only(delete_node=1).vary(begun(only()), 1, np.random.default_rng(2))
    assert none.wired.sum((1, 2)).unique().tolist() == [4]


def test_a_connection_is_added_where_there_is_room():
    assert counts(only(add_connection=1), begun(only()))[1] == [4]  # inputs to output: all there
    split = only(add_node=1).vary(begun(only()), 1, np.random.default_rng(2))
    children, wires, _ = counts(only(add_connection=1), split)
    assert wires == [6]
    assert (np.linalg.matrix_power(children.wired.numpy().astype(float), 11) == 0).all()


def test_a_moved_connection_keeps_its_weight():
    split = only(add_node=1).vary(begun(only()), 1, np.random.default_rng(2))
    children = only(change_connection=1).vary(split, 1, np.random.default_rng(3))
    known = {round(w, 12) for w in split.weight[split.wired].tolist()}
    assert {round(w, 12) for w in children.weight[children.wired].tolist()} <= known
    moved = children.wired.sum((1, 2)) == 5
    assert int(moved.sum()) > 25  # the rest lost a node that led nowhere any more
    assert (children.wired != split.wired).any()


def test_weights_and_functions_change_at_their_rates():
    parents = begun(only(), n=400)
    one = only(weight_rate=0.1).vary(parents, 1, np.random.default_rng(4))
    known = {round(w, 12) for w in parents.weight[parents.wired].tolist()}
    fresh = [round(w, 12) not in known for w in one.weight[one.wired].tolist()]
    assert 0.07 < np.mean(fresh) < 0.13
    redrawn = only(function_rate=1).vary(parents, 1, np.random.default_rng(4)).kind[:, 4]
    assert redrawn.bincount().min() > 60
    same = only(function_rate=0).vary(parents, 1, np.random.default_rng(4)).kind[:, 4]
    assert sorted(same.tolist()) == sorted(parents.kind[:, 4].tolist())


@pytest.mark.parametrize("wrong", [{"coordinates": "polar"}, {"hidden": -1}, {"add_node": 2}, {"depth": 3}])
def test_wrong_parameters_are_refused(wrong):
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        Cppn(**wrong)
