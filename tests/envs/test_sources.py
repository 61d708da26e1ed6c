import gymnasium as gym
import numpy as np
import pytest

import envs  # noqa: F401  registers the environments
from envs.sources import FREE, make_source, points, recall, sequence, swing_starts


def test_the_curve_is_a_noisy_sine():
    env = gym.make("balancier/Curve-v0")
    errors = []
    for seed in range(300):
        (x,), _ = env.reset(seed=seed)
        errors.append(-env.step(np.sin(2 * np.pi * np.array([x])).astype(np.float32))[1])
    assert np.mean(errors) == pytest.approx(0.01, rel=0.25)


def test_the_sequence_shows_the_next_angle_after_the_prediction():
    env = gym.make("balancier/Sequence-v0", num_steps=6)
    shown, target = env.unwrapped.source.block(3, 0)
    obs, _ = env.reset(seed=3)
    for t in range(6):
        np.testing.assert_allclose(obs, shown[0, t])
        obs, reward, terminated, _, _ = env.step(target[0, t].astype(np.float32))
        assert reward == pytest.approx(0, abs=1e-9)
        assert terminated == (t == 5)
        if t < 5:
            np.testing.assert_allclose(obs, target[0, t], atol=1e-6)


def test_recall_asks_for_the_first_cue():
    env = gym.make("balancier/Recall-v0", delay=5, cues=3)
    for seed in range(20):
        obs, _ = env.reset(seed=seed)
        cue = int(obs[:3].argmax())
        assert obs.sum() == 1
        for _ in range(5):
            obs, reward, terminated, _, _ = env.step((cue + 1) % 3)
            assert reward == 0
            assert not terminated
        assert obs.tolist() == [0, 0, 0, 1]
        answer = cue if seed % 2 else (cue + 1) % 3
        _, reward, terminated, _, _ = env.step(answer)
        assert reward == (0 if seed % 2 else -1)
        assert terminated


def test_frames_take_arrays():
    images = np.arange(3 * 3 * 8 * 8, dtype=np.uint8).reshape(3, 3, 8, 8)
    env = gym.make("balancier/Frames-v0", images=images, labels=np.array([0, 1, 2]))
    assert env.observation_space.shape == (3, 8, 8)
    obs, _ = env.reset(seed=0)
    label = int(np.flatnonzero((images == obs).all((1, 2, 3)))[0])
    assert env.step(label)[1] == 0
    with pytest.raises(ValueError, match="^images, labels: "):
        gym.make("balancier/Frames-v0", images=images)


def test_a_source_is_found_by_name_and_takes_its_keywords():
    assert make_source("recall", {"delay": 4}).num_steps == 5
    source = recall(delay=2)
    assert make_source(source, {}) is source
    with pytest.raises(ValueError, match="^source: found 'curves', expected a Source or one of curve, sequence, "):
        make_source("curves", {})


def test_impossible_sources_are_refused():
    with pytest.raises(ValueError, match="^delay: found 0, expected a whole number of at least 1$"):
        recall(delay=0)
    with pytest.raises(ValueError, match="^x and y: found 2 and 3 samples"):
        points(np.zeros((2, 1)), np.zeros((3, 1)))
    with pytest.raises(ValueError, match="^x and y: found 0 and 0 samples"):
        points(np.zeros((0, 1)), np.zeros((0, 1)))


def test_losses_by_hand():
    numbers = points(np.zeros((2, 1), np.float32), np.array([[1.0, -2.0], [0.5, 0.0]]))  # actions lie within +-2
    loss = numbers.loss(np.array([[1.5, 9.0], [0.0, 0.0]]), np.array([[1.0, -2.0], [0.5, 0.0]]))
    np.testing.assert_allclose(loss, [0.25 + 16.0, 0.25])
    classes = points(np.zeros((3, 1), np.float32), np.array([0, 1, 2]))
    assert classes.loss(np.array([0, 2, 2]), np.array([0, 1, 2])).tolist() == [0.0, 1.0, 0.0]
    for prediction in (np.array([0.0, 1.0]), np.array([0, 3]), np.array([-1, 0]), np.array([0, 0, 0])):
        with pytest.raises(ValueError, match="^action: found"):
            classes.loss(prediction, np.array([0, 1]))


def test_only_the_answer_of_recall_counts():
    shown, target = recall(delay=3, cues=4).block(seed=1, number=0)
    assert (target[:, :-1] == FREE).all()
    np.testing.assert_array_equal(target[:, -1], shown[:, 0, :4].argmax(-1))


def test_swings_start_within_their_range_and_can_be_fixed():
    starts = swing_starts(np.array([[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]]))
    np.testing.assert_allclose(starts, [[np.pi - 1.5, -1.0], [np.pi, 0.0], [np.pi + 1.5, 1.0]])
    shown, target = sequence(num_steps=2, length=1.0, mass=1.0).block(seed=0, number=0)
    assert shown.shape == target.shape == (32, 2, 1)
    np.testing.assert_allclose(shown[:, 1], target[:, 0], atol=1e-6)
