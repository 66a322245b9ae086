import numpy as np

from unshaken.attack.fooling.graphs import acyclic_pairs, chosen, depths, moved, reaches


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
