"""Videos that are written frame by frame."""

import os
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pygame
import pytest
from gymnasium.wrappers import HumanRendering, RecordVideo
from PIL import Image

import envs  # noqa: F401  registers the pendulum
from envs.video import Video

PENDULUM = "balancier/Pendulum-v0"


def moving(count, size=(60, 80)):
    """Frames with a red square that moves one pixel to the right in each, on white."""
    for i in range(count):
        frame = np.full((*size, 3), 255, np.uint8)
        frame[10:20, i : i + 10] = 255, 40, 0
        yield frame


def read_gif(path):
    image = Image.open(path)
    for index in range(image.n_frames):
        image.seek(index)
        yield np.asarray(image.convert("RGB")).astype(int)


def read_mp4(path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    reader = ffmpeg.read_frames(str(path))
    size = next(reader)["source_size"]
    return [np.frombuffer(frame, np.uint8).reshape(size[1], size[0], 3).astype(int) for frame in reader]


@pytest.mark.parametrize(("name", "read", "within"), [("a.gif", read_gif, 0.5), ("a.mp4", read_mp4, 20)])
def test_every_frame_can_be_read_again(name, read, within, tmp_path):
    with Video(tmp_path / name, 20) as video:
        for frame in moving(30):
            video.add(frame)
    frames = list(read(tmp_path / name))
    assert len(frames) == 30
    for found, expected in zip(frames, moving(30), strict=True):
        assert abs(found - expected).mean() < within
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o666 & ~current_umask()


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize(("fps", "duration"), [(20, 3000), (60, 1000), (30, 2000), (24, 2500)])
def test_a_gif_runs_in_real_time_at_any_rate(fps, duration, tmp_path):
    """Viewers show no frame for less than 20 ms, so that some of 60 frames per second are left out."""
    with Video(tmp_path / "a.gif", fps) as video:
        for frame in moving(60):
            video.add(frame)
    image = Image.open(tmp_path / "a.gif")
    waits = []
    for index in range(image.n_frames):
        image.seek(index)
        waits.append(image.info["duration"])
    assert sum(waits) == pytest.approx(duration, abs=30)
    assert min(waits) >= 20


def test_colors_that_come_later_are_shown(tmp_path):
    frames = [np.full((20, 20, 3), color, np.uint8) for color in ((255, 255, 255), (0, 0, 255), (0, 255, 0))]
    with Video(tmp_path / "a.gif", 10) as video:
        for frame in frames:
            video.add(frame)
    for found, expected in zip(read_gif(tmp_path / "a.gif"), frames, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_an_odd_size_becomes_even_in_an_mp4(tmp_path):
    with Video(tmp_path / "a.mp4", 20) as video:
        for frame in moving(5, (61, 81)):
            video.add(frame)
    assert {frame.shape for frame in read_mp4(tmp_path / "a.mp4")} == {(62, 82, 3)}


def fill_and_fail(video):
    for frame in moving(3):
        video.add(frame)
    raise KeyError


@pytest.mark.parametrize("name", ["a.gif", "a.mp4"])
def test_an_error_leaves_nothing_new_and_what_was_there(name, tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    (tmp_path / name).write_bytes(b"before")
    with pytest.raises(KeyError), Video(tmp_path / name, 20) as video:
        fill_and_fail(video)
    with pytest.raises(ValueError, match=r"found no frame, expected at least one"), Video(tmp_path / name, 20):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"before"


def test_what_no_video_can_be_made_of_is_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"^found .*a\.avi, expected a name that ends in \.gif or \.mp4$"):
        Video(tmp_path / "a.avi", 20)
    with pytest.raises(ValueError, match=r"^found no folder .*nowhere, expected a file in a folder that exists$"):
        Video(tmp_path / "nowhere" / "a.gif", 20)
    with Video(tmp_path / "a.gif", 20) as video:
        video.add(np.zeros((3, 1, 3), np.uint8))
        with pytest.raises(ValueError, match=r"^frame: found shape \(3,\) of uint8, expected \(3, 1, 3\) of uint8$"):
            video.add(np.zeros(3, np.uint8))
    (tmp_path / "a.gif").unlink()
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(ValueError, match=r"^found no imageio-ffmpeg, expected .*python -m pip install imageio-ffmpeg"):
        Video(tmp_path / "a.mp4", 20)
    assert not list(tmp_path.iterdir())


MEMORY = """
import resource, sys
import numpy as np
from envs.video import Video
frame = np.full((240, 240, 3), 250, np.uint8)
with Video(sys.argv[1], 20) as video:
    for i in range(int(sys.argv[2])):
        frame[...] = 250
        frame[i % 200 : i % 200 + 30, i % 190 : i % 190 + 30] = i % 7 * 30, 80, 50
        video.add(frame)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.gif", "a.mp4"])
def test_ten_thousand_frames_take_no_more_memory_than_a_hundred(name, tmp_path):
    pytest.importorskip("imageio_ffmpeg")

    def memory(count):
        command = [sys.executable, "-c", MEMORY, str(tmp_path / name), str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return np.array(done.stdout.split(), float) / 1024  # MiB of this process and of ffmpeg

    assert (memory(10_000) - memory(100) < 50).all()


def test_gymnasiums_recorder_takes_our_environments(tmp_path):
    pytest.importorskip("moviepy")
    env = RecordVideo(gym.make(PENDULUM, render_mode="rgb_array"), str(tmp_path), disable_logger=True)
    env.reset(seed=0)
    for _ in range(200):
        env.step(env.action_space.sample())
    env.close()
    (path,) = tmp_path.glob("*.mp4")
    frames = read_mp4(path)
    assert len(frames) == 201
    assert frames[0].std() > 10


def test_gymnasiums_recorder_takes_our_batch(tmp_path):
    pytest.importorskip("moviepy")
    batch = gym.make_vec(PENDULUM, num_envs=3, render_mode="rgb_array")
    env = gym.wrappers.vector.RecordVideo(batch, str(tmp_path), disable_logger=True, video_length=20)
    env.reset(seed=0)
    for _ in range(25):
        env.step(env.action_space.sample())
    env.close()
    (path,) = tmp_path.glob("*.mp4")
    assert len(read_mp4(path)) >= 20


@pytest.mark.parametrize("batch", [False, True])
def test_gymnasiums_window_takes_our_environments(batch):
    if batch:
        pytest.importorskip("cv2")  # Gymnasium's wrapper needs it
        env = gym.wrappers.vector.HumanRendering(gym.make_vec(PENDULUM, num_envs=3, render_mode="rgb_array"))
    else:
        env = HumanRendering(gym.make(PENDULUM, render_mode="rgb_array"))
    env.reset(seed=0)
    for _ in range(3):
        env.step(env.action_space.sample())
    window = pygame.display.get_surface()
    assert window.get_size() == (500, 500)
    assert pygame.surfarray.array3d(window).std() > 10
    env.close()
