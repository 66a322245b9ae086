import colorsys

import numpy as np
import pytest
import torch

from unshaken.attack.fooling import Cppn
from unshaken.attack.fooling.cppn import Graphs
from unshaken.attack.fooling.cppn_draw import INPUTS, KINDS, answers, from_hls, inputs

NAMES = list(KINDS)


def graph(outputs, *edges, kinds=None, hidden=3):
    """One graph by its connections (source, to, weight)."""
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
    flat = graph(1, (3, 4, -1.5))  # linear(-1.5) = -0.5
    assert set(Cppn(hidden=3).draw(flat, (1, 2, 2)).flatten().tolist()) == {127}
    deep = graph(1, (3, 5, 3.0), (5, 4, 1.0), kinds={5: "gaussian", 4: "sigmoid"})  # sigmoid(e^-9)
    assert set(Cppn(hidden=3).draw(deep, (1, 2, 2)).flatten().tolist()) == {int(np.tanh(np.exp(-9) / 2) * 255)}


def test_raw_coordinates_change_what_reads_them_and_nothing_else():
    raw, normalised = Cppn(hidden=3), Cppn(hidden=3, coordinates="normalised")
    round_ = graph(1, (2, 4, 2.0), (3, 4, 0.3), kinds={4: "sine"})
    assert (raw.draw(round_, (1, 9, 7)) == normalised.draw(round_, (1, 9, 7))).all()
    striped = graph(1, (0, 4, 2.0), (1, 4, 0.7), kinds={4: "sine"})
    assert (raw.draw(striped, (1, 9, 7)) != normalised.draw(striped, (1, 9, 7))).any()


def test_a_population_is_drawn_as_its_members_alone_are(monkeypatch):
    encoding = Cppn(hidden=6)
    graphs = grown(encoding, outputs=3, n=8)
    together = encoding.draw(graphs, (3, 6, 5))
    assert together.shape == (8, 3, 6, 5)
    assert len({tuple(x.flatten().tolist()) for x in together}) > 2
    monkeypatch.setattr("unshaken.attack.fooling.cppn_draw._AT_ONCE", 1)
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
