from matplotlib import image

from halo.figures import canvas


def test_pictures_are_the_same_bytes_each_time(tmp_path):
    for name in ("a", "b"):
        with canvas(tmp_path / f"{name}.png", 4, 2) as figure:
            figure.subplots().plot([1, 2, 4])
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert image.imread(tmp_path / "a.png").shape[1] == 600
