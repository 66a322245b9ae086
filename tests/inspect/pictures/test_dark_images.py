from tests.inspect.images import find, pattern, plain
from unshaken.inspect import DarkImages


def test_dark_images_are_found_darkest_first():
    spark = plain((20, 20, 20), (100, 100))
    spark.paste((255, 255, 255), (0, 0, 10, 9))  # 0.9% of the pixels: not among 99%
    images = [pattern(60, 80, 3, 2, 5), plain(30), plain((10, 10, 10)), plain(90), spark]
    found = find(DarkImages(), images)
    assert found.rows.tolist() == [2, 4, 1]
    assert found.scores.tolist() == [10 / 255, 20 / 255, 30 / 255]
    assert find(DarkImages(threshold=0.4), images).rows.tolist() == [2, 4, 1, 3]
