import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.vector import AutoresetMode

from envs.vector import IndependentVectorEnv, resolve_env_seeds


class Counter(IndependentVectorEnv):
    """Observes the seed, the episodes begun, and the steps; the reward is the action. Episodes last three steps."""

    state_names = ("seeds", "steps", "episodes")

    def __init__(self, num_envs=3, autoreset_mode="SameStep", **kwargs):
        space = gym.spaces.Box(-1, np.inf, (3,))
        super().__init__(num_envs, space, gym.spaces.Discrete(9), 3, autoreset_mode, None, **kwargs)
        self.episodes, self.restored = np.zeros(num_envs, int), None

    def begin_stream(self, index):
        self.episodes[index] = 0

    def begin_episodes(self, indices, options):
        self.episodes[indices] += 1
        return {"begun": indices, **options}

    def advance(self, actions):
        return np.array(actions, float)

    def observe(self):
        return np.stack([self.seeds, self.episodes, self.steps], 1).astype(float)

    def restore_episodes(self, state):
        self.restored = state


ONES = np.ones(3, int)


def test_seeds_are_given_one_by_one_or_by_the_first():
    assert resolve_env_seeds(None, 2) == [None, None]
    assert resolve_env_seeds(np.int64(5), 3) == [5, 6, 7]
    assert resolve_env_seeds((8, None), 2) == [8, None]
    with pytest.raises(ValueError, match="^seed: found 1 seeds, expected 2, one for each environment$"):
        resolve_env_seeds([1], 2)


def test_a_reset_begins_the_next_episode_of_each_and_a_seed_the_first():
    batch = Counter()
    obs, info = batch.reset(seed=[4, 5, 6], options={"key": 1})
    assert obs.tolist() == [[4, 1, 0], [5, 1, 0], [6, 1, 0]]
    assert info["begun"].tolist() == [0, 1, 2]
    assert info["key"] == 1
    batch.step(ONES)
    assert batch.reset()[0].tolist() == [[4, 2, 0], [5, 2, 0], [6, 2, 0]]
    assert batch.reset(seed=[None, 9, None])[0].tolist() == [[4, 3, 0], [9, 1, 0], [6, 3, 0]]


def test_a_mask_selects_the_environments_that_are_reset_and_seeded():
    batch = Counter()
    batch.reset(seed=4)
    batch.step(ONES)
    mask = np.array([True, False, False])
    assert batch.reset(options={"reset_mask": mask})[0].tolist() == [[4, 2, 0], [5, 1, 1], [6, 1, 1]]
    assert batch.reset(seed=7, options={"reset_mask": mask})[0].tolist() == [[7, 1, 0], [5, 1, 1], [6, 1, 1]]
    batch.step(ONES)
    assert batch.step(ONES)[3].tolist() == [False, True, True]


@pytest.mark.parametrize("mask", [np.ones(2, bool), ONES, np.zeros(3, bool), "all"])
def test_other_masks_are_refused(mask):
    with pytest.raises(ValueError, match="^options: found reset_mask "):
        Counter().reset(options={"reset_mask": mask})


def test_without_seeds_every_environment_draws_its_own():
    batches = Counter(), Counter()
    seeds = np.concatenate([batch.reset()[0][:, 0] for batch in batches])
    assert len(set(seeds)) == 6


def test_the_next_step_mode_spends_one_step_on_the_next_start():
    batch = Counter(autoreset_mode=AutoresetMode.NEXT_STEP)
    batch.reset(seed=4)
    actual = [batch.step(ONES) for _ in range(4)]
    assert [obs[0].tolist() for obs, *_ in actual] == [[4, 1, 1], [4, 1, 2], [4, 1, 3], [4, 2, 0]]
    assert [truncated.tolist() for _, _, _, truncated, _ in actual] == [[False] * 3] * 2 + [[True] * 3] + [[False] * 3]
    assert [reward[0] for _, reward, *_ in actual] == [1, 1, 1, 0]
    assert not any(terminated.any() for _, _, terminated, _, _ in actual)
    assert actual[3][4]["begun"].tolist() == [0, 1, 2]


def test_the_same_step_mode_keeps_the_final_observation():
    batch = Counter()
    batch.terminates, batch.truncates = True, False
    batch.reset(seed=4)
    batch.step(ONES)
    batch.step(ONES)
    obs, reward, terminated, truncated, info = batch.step(2 * ONES)
    assert obs.tolist() == [[4, 2, 0], [5, 2, 0], [6, 2, 0]]
    assert reward.tolist() == [2, 2, 2]
    assert terminated.all()
    assert not truncated.any()
    assert info["final_obs"].tolist() == [[4, 1, 3], [5, 1, 3], [6, 1, 3]]
    assert info["_final_obs"].all()
    assert info["begun"].tolist() == [0, 1, 2]


def test_without_autoreset_an_ended_episode_takes_no_step_and_none_is_lost():
    batch = Counter(autoreset_mode="Disabled")
    batch.reset(seed=4)
    batch.step(ONES)
    batch.reset(options={"reset_mask": np.array([False, True, True])})
    batch.step(ONES)
    assert batch.step(ONES)[3].tolist() == [True, False, False]
    before = batch.observe()
    with pytest.raises(ResetNeeded, match="reset_mask"):
        batch.step(ONES)
    np.testing.assert_array_equal(batch.observe(), before)


def test_a_state_is_set_whole():
    batch, other = Counter(), Counter()
    with pytest.raises(ResetNeeded):
        batch.get_state()
    batch.reset(seed=4)
    for _ in range(5):
        batch.step(ONES)
    state = batch.get_state()
    other.set_state(state)
    np.testing.assert_array_equal(other.observe(), batch.observe())
    assert other.restored is state
    assert other.step(ONES)[3].all()  # the third step of the second episode
    assert batch.observe().tolist() == [[4, 2, 2], [5, 2, 2], [6, 2, 2]]  # the state is a copy
    with pytest.raises(ValueError, match="^seed: found 3 seeds, expected 2"):
        Counter(2).set_state(state)


def test_wrong_use_is_named():
    batch = Counter()
    with pytest.raises(ResetNeeded):
        batch.step(ONES)
    batch.close()
    for call in (lambda: batch.step(ONES), batch.reset):
        with pytest.raises(ClosedEnvironmentError):
            call()
    for number in (0, 2.0, True):
        with pytest.raises(ValueError, match=f"^num_envs: found {number}, expected a whole number of at least 1"):
            Counter(number)
