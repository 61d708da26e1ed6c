"""Gymnasium's wrappers for batches on our native batches: videos and windows show the frames of all environments."""

import sys
import types

import gymnasium as gym
import numpy as np
import pygame
import pytest
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import HumanRendering, RecordEpisodeStatistics, RecordVideo
from PIL import Image

import envs  # noqa: F401  registers the ids

PICTURED = [f"balancier/{name}-v0" for name in ("Pendulum", "PendulumDiscrete", "Frames")]
MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP]


def make_batch(env_id, mode=AutoresetMode.NEXT_STEP, **kwargs):
    kwargs |= {"max_episode_steps": 5} if "Pendulum" in env_id else {}
    return gym.make_vec(
        env_id, 4, vectorization_mode="vector_entry_point", render_mode="rgb_array", autoreset_mode=mode, **kwargs
    )


def tiled(frames):
    """Four frames as a square."""
    return np.concatenate([np.concatenate(frames[:2], 1), np.concatenate(frames[2:], 1)])


@pytest.fixture
def videos(monkeypatch):
    """What is written, name -> (frames, fps), by a stand-in for moviepy's writer, which no test needs then."""
    written = {}

    class ImageSequenceClip:
        def __init__(self, frames, fps):
            self.content = np.array(frames), fps

        def write_videofile(self, path, logger):
            written[path.rpartition("/")[2]] = self.content

    for name in "moviepy", "moviepy.video", "moviepy.video.io", "moviepy.video.io.ImageSequenceClip":
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules["moviepy.video.io.ImageSequenceClip"].ImageSequenceClip = ImageSequenceClip  # type: ignore[attr-defined]
    return written


@pytest.mark.filterwarnings("ignore:.*autoreset mode is same-step")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("env_id", PICTURED)
def test_a_video_holds_every_frame_of_every_environment(env_id, mode, videos, tmp_path):
    batch, twin = make_batch(env_id, mode), make_batch(env_id, mode)
    recorded = RecordVideo(batch, str(tmp_path / "videos"), episode_trigger=lambda episode: episode in (0, 2))
    recorded.reset(seed=3)
    twin.reset(seed=3)
    twin.action_space.seed(0)
    expected, ended = [tiled(twin.render())], []
    for _ in range(18):
        action = twin.action_space.sample()
        recorded.step(action)
        _, _, terminated, truncated, _ = twin.step(action)
        ended.append(terminated[0] or truncated[0])
        expected.append(tiled(twin.render()))
    recorded.close()
    first = ended.index(True) + (mode is AutoresetMode.NEXT_STEP) + 1  # frames until the second episode begins
    assert set(videos) == {"rl-video-episode-0.mp4", "rl-video-episode-2.mp4"}
    for (frames, fps), start in zip(videos.values(), (0, 2 * first), strict=True):
        assert fps == batch.metadata["render_fps"]
        np.testing.assert_array_equal(frames, expected[start : start + len(frames)])
        assert len(frames) == min(first, len(expected) - start)


@pytest.mark.parametrize("env_id", PICTURED)
def test_a_window_shows_all_environments(env_id, monkeypatch):
    resize = types.ModuleType("cv2")  # OpenCV is no package of ours
    resize.resize = lambda image, size: np.asarray(Image.fromarray(image).resize(size, Image.Resampling.NEAREST))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cv2", resize)
    shown, twin = HumanRendering(make_batch(env_id)), make_batch(env_id)
    shown.reset(seed=3)
    twin.reset(seed=3)
    twin.action_space.seed(0)
    frames = twin.render()
    for _ in range(3):
        action = twin.action_space.sample()
        shown.step(action)
        twin.step(action)
        frames = twin.render()
    half = len(frames[0]) // 2
    frames = [np.asarray(Image.fromarray(x).resize((half, half), Image.Resampling.NEAREST)) for x in frames]
    assert shown.window is not None
    np.testing.assert_array_equal(pygame.surfarray.array3d(shown.window), tiled(frames).transpose(1, 0, 2))
    shown.close()


@pytest.mark.parametrize("mode", MODES)
def test_returns_of_a_batch_are_those_of_its_environments(mode):
    batch = RecordEpisodeStatistics(make_batch(PICTURED[0], mode))
    batch.reset(seed=3)
    total = np.zeros(4)
    for _ in range(5):
        _, reward, _, truncated, info = batch.step(batch.action_space.sample())
        total += reward
    assert truncated.all()
    np.testing.assert_allclose(info["episode"]["r"], total)
    np.testing.assert_array_equal(info["episode"]["l"], [5] * 4)
