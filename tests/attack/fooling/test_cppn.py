"""Graph operations, drawing and evolution of CPPNs, by hand."""

import colorsys

import numpy as np
import pytest
import torch

from unshaken.attack.fooling import Cppn
from unshaken.attack.fooling.cppn import (
    INPUTS,
    KINDS,
    WEIGHT,
    Graphs,
    acyclic_pairs,
    answers,
    chosen,
    depths,
    from_hls,
    inputs,
    moved,
    reaches,
)
from unshaken.core.errors import ParameterError


def graph(m, *edges):
    wired = np.zeros((1, m, m), bool)
    for source, to in edges:
        wired[0, to, source] = True
    return wired


CHAIN = graph(5, (0, 1), (1, 2), (2, 3), (0, 3))


def test_reach_follows_ways_of_any_length():
    reach = reaches(CHAIN)[0]
    assert np.flatnonzero(reach[3]).tolist() == [0, 1, 2, 3]  # what leads to 3
    assert np.flatnonzero(reach[:, 1]).tolist() == [1, 2, 3]  # where 1 leads
    assert np.flatnonzero(reach[4]).tolist() == [4]
    long = graph(40, *((i, i + 1) for i in range(39)))
    assert reaches(long)[0, 39].all()


def test_allowed_connections_close_no_circle():
    allowed = acyclic_pairs(CHAIN)[0]
    assert not allowed[1, 3]  # 3 to 1 would
    assert not allowed[0, 0]
    assert not allowed[3, 0]  # is there
    assert allowed[2, 0]
    assert allowed[0, 4]


def test_depth_is_the_longest_way_in():
    assert depths(CHAIN)[0].tolist() == [0, 1, 2, 3, 0]


def test_draws_are_uniform_over_what_is_allowed():
    allowed = np.zeros((3000, 2, 3), bool)
    allowed[:1500, 0, 1] = allowed[:1500, 1, 2] = allowed[:1500, 1, 0] = True
    rows, first, second = chosen(allowed, np.random.default_rng(0))
    assert rows.tolist() == list(range(1500))
    assert allowed[rows, first, second].all()
    counts = np.unique(3 * first + second, return_counts=True)[1]
    assert len(counts) == 3
    assert counts.min() > 430
    assert [len(x) for x in chosen(np.zeros((2, 3, 3), bool), np.random.default_rng(0))] == [0, 0, 0]


def test_a_moved_connection_shares_one_end():
    allowed = np.ones((2, 4, 4), bool)
    places = moved(allowed, np.array([3, 3]), np.array([0, 0]), np.array([True, False]))
    assert np.argwhere(places[0]).tolist() == [[3, 1], [3, 2], [3, 3]]
    assert np.argwhere(places[1]).tolist() == [[0, 0], [1, 0], [2, 0]]


NAMES = list(KINDS)


def drawn_graph(outputs, *edges, kinds=None, hidden=3):
    """One drawn_graph by its connections (source, to, weight)."""
    m = INPUTS + outputs + hidden
    wired, weight = torch.zeros(1, m, m).bool(), torch.zeros(1, m, m).double()
    alive = torch.zeros(1, m).bool()
    alive[0, : INPUTS + outputs] = True
    for source, to, value in edges:
        wired[0, to, source], weight[0, to, source] = True, value
        alive[0, to] = alive[0, source] = True
    kind = torch.full((1, m), NAMES.index("linear"))
    for node, name in (kinds or {}).items():
        kind[0, node] = NAMES.index(name)
    return Graphs(wired, weight, kind, alive)


def grown(encoding, outputs=1, n=30, generations=25):
    rng = np.random.default_rng(4)
    graphs = encoding.begin(n, (outputs, 4, 4), rng)
    for g in range(generations):
        graphs = encoding.vary(graphs, g, rng)
    return graphs


def by_synchronous_updates(graphs, i, place):
    """The released way: every node at once from the values before, as often as there are nodes."""
    weight, kind, alive = graphs.weight[i].numpy(), graphs.kind[i].tolist(), graphs.alive[i].numpy()
    functions = {
        "sine": np.sin,
        "sigmoid": lambda p: 2 / (1 + np.exp(-p)) - 1,
        "gaussian": lambda p: np.exp(-(p**2)),
        "linear": lambda p: np.clip(p, -3, 3) / 3,
    }
    values = np.zeros((len(kind), place.shape[1]))
    values[:INPUTS] = place
    for _ in range(len(kind)):
        sums, new = weight @ values, values.copy()
        for node in range(INPUTS, len(kind)):
            new[node] = functions[NAMES[kind[node]]](sums[node]) * alive[node]
        values = new
    return values


def test_functions_at_0_and_3():
    at = {name: f(torch.tensor([0.0, 3.0]).double()).tolist() for name, f in KINDS.items()}
    assert at["sine"] == pytest.approx([0, 0.14112], abs=1e-6)
    assert at["sigmoid"] == pytest.approx([0, 0.905148], abs=1e-6)
    assert at["gaussian"] == pytest.approx([1, 1.234e-4], abs=1e-7)
    assert at["linear"] == [0, 1]
    wide = torch.linspace(-50, 50, 1001).double()
    assert all(f(wide).abs().max() <= 1 for f in KINDS.values())


def test_inputs_by_hand():
    x, y, distance, bias = inputs(2, 3, raw=False).reshape(4, 2, 3)
    assert x.tolist() == [[-1, 0, 1]] * 2
    assert y.tolist() == [[-1] * 3, [1] * 3]
    assert distance[0].tolist() == pytest.approx([2**0.5, 1, 2**0.5])
    assert bias.tolist() == [[1] * 3] * 2
    raw = inputs(2, 3, raw=True).reshape(4, 2, 3)
    assert raw[0].tolist() == [[0, 1, 2]] * 2
    assert raw[1].tolist() == [[0] * 3, [1] * 3]
    assert (raw[2] == distance).all()
    assert inputs(1, 1, raw=False)[:, 0].tolist() == [0, 0, 0, 1]


def test_grown_graphs_give_what_synchronous_updates_give():
    graphs, place = grown(Cppn(hidden=8)), inputs(4, 4, raw=False)
    values = answers(graphs.wired, graphs.weight, graphs.kind, graphs.alive, place)
    for i in range(len(graphs)):
        np.testing.assert_allclose(values[i].numpy(), by_synchronous_updates(graphs, i, place.numpy()), atol=1e-9)
    assert int(graphs.alive.sum(1).max()) == INPUTS + 1 + 8
    assert float(values[:, INPUTS:].abs().max()) <= 1


def test_pixels_are_the_size_of_the_output_cut_to_8_bits():
    flat = drawn_graph(1, (3, 4, -1.5))  # linear(-1.5) = -0.5
    assert set(Cppn(hidden=3).draw(flat, (1, 2, 2)).flatten().tolist()) == {127}
    deep = drawn_graph(1, (3, 5, 3.0), (5, 4, 1.0), kinds={5: "gaussian", 4: "sigmoid"})  # sigmoid(e^-9)
    assert set(Cppn(hidden=3).draw(deep, (1, 2, 2)).flatten().tolist()) == {int(np.tanh(np.exp(-9) / 2) * 255)}


def test_raw_coordinates_change_what_reads_them_and_nothing_else():
    raw, normalised = Cppn(hidden=3), Cppn(hidden=3, coordinates="normalised")
    round_ = drawn_graph(1, (2, 4, 2.0), (3, 4, 0.3), kinds={4: "sine"})
    assert (raw.draw(round_, (1, 9, 7)) == normalised.draw(round_, (1, 9, 7))).all()
    striped = drawn_graph(1, (0, 4, 2.0), (1, 4, 0.7), kinds={4: "sine"})
    assert (raw.draw(striped, (1, 9, 7)) != normalised.draw(striped, (1, 9, 7))).any()


def test_a_population_is_drawn_as_its_members_alone_are(monkeypatch):
    encoding = Cppn(hidden=6)
    graphs = grown(encoding, outputs=3, n=8)
    together = encoding.draw(graphs, (3, 6, 5))
    assert together.shape == (8, 3, 6, 5)
    assert len({tuple(x.flatten().tolist()) for x in together}) > 2
    monkeypatch.setattr("unshaken.attack.fooling.cppn._AT_ONCE", 1)
    assert (encoding.draw(graphs, (3, 6, 5)) == together).all()


def test_hls_is_that_of_the_standard_library():
    pixels = torch.randint(0, 256, (1, 3, 20, 20), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    pixels[0, :, 0, 0] = torch.tensor([0, 128, 0])
    rgb = from_hls(pixels)[0].flatten(1).T.int().numpy()
    for (h, light, s), found in zip(pixels[0].flatten(1).T.tolist(), rgb, strict=True):
        wanted = np.array(colorsys.hls_to_rgb(h * 2 / 360 % 1, light / 255, s / 255)) * 255
        assert np.abs(found - wanted).max() <= 0.5 + 1e-6


def test_a_flat_image_has_no_middle_row():
    x, y, distance, _ = inputs(1, 3, raw=False)
    assert (x.tolist(), y.tolist(), distance.tolist()) == ([-1, 0, 1], [0, 0, 0], [1, 0, 1])


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


def grown_population(encoding, n=40, outputs=1, generations=30):
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
    graphs = grown_population(Cppn(hidden=6), outputs=outputs)
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
    full = grown_population(only(add_node=1, hidden=2), generations=5)
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
