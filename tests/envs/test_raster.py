import numpy as np

from envs import raster


def darkness(frame):
    """How much of the rod each pixel of (..., 3, 32, 32) shows, in green: 0 to 223."""
    return 255 - frame[..., 1, :, :].astype(int)


def test_pictures_show_where_the_pendulum_points():
    upright, left = raster.draw(np.array([0.0, np.pi / 2]))
    assert upright.shape == (3, 32, 32)
    dark = upright.min(0) < 128
    rows, columns = np.nonzero(dark)
    assert rows.min() < 6  # the bob at the top
    assert abs(columns.mean() - 15.5) < 0.5
    np.testing.assert_allclose(left[0], np.rot90(upright[0]), atol=2)
    white = raster.draw(np.array([0.3]), length=0.0, width=0.0)
    assert white.min() == 255


def test_frames_are_drawings_of_the_nearest_angle():
    angle = np.arange(-5, 5) * (2 * np.pi / raster.ANGLES)
    drawn = raster.draw(angle % (2 * np.pi))
    for shift in (0.0, -0.49, 0.49):
        shifted = angle + shift * (2 * np.pi / raster.ANGLES) + 4 * np.pi
        np.testing.assert_array_equal(raster.frames(shifted[:, None]), drawn)
    everything = raster.frames(np.arange(raster.ANGLES)[:, None] * (2 * np.pi / raster.ANGLES)).astype(int)
    assert abs(np.diff(everything, axis=0)).max() <= 6  # neighbors differ by 6 of 255 at most
    assert (np.diff(everything, axis=0) != 0).any((1, 2, 3)).all()


def test_a_length_shortens_the_rod():
    share = np.linspace(0.0, 1.0, 11)
    dark = darkness(raster.frames(np.zeros((11, 1)), share)).sum((1, 2)) / 223
    np.testing.assert_allclose(dark - dark[0], share * 12.8 * 1.92, atol=0.5)  # pixels
    full = raster.frames(np.linspace(0, 6, 50)[:, None])
    cut = raster.frames(np.linspace(0, 6, 50)[:, None], np.ones(50))
    assert abs(darkness(full) - darkness(cut)).sum((1, 2)).max() < 223  # the whole length: less than one pixel of it


def test_sectors_and_labels():
    assert raster.sector(np.array([0.0, 0.3, -0.3, 0.7, 2 * np.pi])).tolist() == [0, 0, 0, 1, 0]
    frames, labels = raster.labeled_frames(np.random.default_rng(0), 500)
    assert frames.dtype == np.uint8
    assert np.bincount(labels, minlength=10).min() > 20
