"""The rate of images by hand; nothing in no time has none."""

from unshaken.core.part import Condition
from unshaken.generate.rows import Throughput
from unshaken.store.tables import table_of


def test_images_over_seconds():
    speed = Throughput(20, 4.0, None, "cpu")
    assert speed.images_a_second == 5
    assert str(speed) == "5 images a second (20 in 4.0 s on cpu)"
    row = table_of(speed.to_rows(Condition("vae", "vae"))).to_pylist()[0]
    assert (row["method"], row["steps"], row["images"], row["images_a_second"]) == ("vae", None, 20, 5)


def test_no_time_has_no_rate():
    assert Throughput(0, 0.0, 18, "cpu").images_a_second is None
    assert str(Throughput(0, 0.0, 18, "cpu")).startswith("no time at 18 steps")
