"""iLQR and the cross-entropy method on problems whose answers are known, and the controllers that plan.

n observations, H steps.
"""

import copy
import itertools
import pickle

import gymnasium as gym
import numpy as np
import pytest
import torch

from agents.evaluation import TEST_SEED, evaluate
from envs.controllers import LQR, WEIGHTS
from envs.optimum import Optimum, optimal_returns
from envs.pendulum import PendulumVectorEnv
from envs.physics import Pendulum, reward, transition
from envs.planning import ILQR, MPC, NAMES, SampledMPC, best_plan, cem, controller, guesses, ilqr, improve, rollout

PENDULUM, ENV = Pendulum(), "balancier/Pendulum-v0"
HANGING = torch.tensor([[np.pi, 0.0]], dtype=torch.float64)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def options(**changed):
    return {"limit": 2.0, "samples": 200, "elites": 20, "iterations": 10, "generator": generator()} | changed


# The cross-entropy method


def test_cem_finds_the_minimum_of_a_parabola_within_the_limit():
    """Each of three plans has a minimum of its own; one lies beyond the limit."""
    target = torch.tensor([[0.3, -1.0], [1.5, 0.0], [5.0, -5.0]])
    mean = cem(lambda x: (x - target).square().sum(-1), torch.zeros(3, 2), torch.ones(3, 2), **options())
    torch.testing.assert_close(mean, target.clip(-2, 2), atol=0.02, rtol=0)


def test_one_iteration_of_cem_by_hand():
    seen = []

    def cost(torques):
        seen.append(torques)
        return torques.abs().sum(-1)

    start = torch.tensor([[1.0, -1.0]])
    mean = cem(cost, start, torch.full((1, 2), 3.0), **options(samples=5, elites=2, iterations=1))
    (torques,) = seen
    assert torques.shape == (5, 1, 2)
    torch.testing.assert_close(torques[0], start)  # the mean itself is tried, too
    noise = torch.randn(5, 1, 2, generator=generator())
    torch.testing.assert_close(torques[1:], (start + 3 * noise[1:]).clip(-2, 2))
    best = torques[torques.abs().sum(-1)[:, 0].argsort()[:2]]
    torch.testing.assert_close(mean, best.mean(0))


def test_the_second_iteration_of_cem_samples_around_the_elites():
    spread = []
    cem(
        lambda x: (spread.append(x.std(0).mean().item()), x.square().sum(-1))[1],
        torch.zeros(4, 3),
        torch.ones(4, 3),
        **options(iterations=4),
    )
    assert spread[0] > 2 * spread[1] > 2 * spread[3]


def test_cem_leaves_out_costs_that_are_no_number():
    cost = lambda x: torch.where(x[..., 0] > 0, torch.nan, x.square().sum(-1))  # noqa: E731
    mean = cem(cost, torch.zeros(1, 1), torch.ones(1, 1), **options())
    assert -0.1 < mean.item() <= 0


@pytest.mark.parametrize("elites", [0, 11])
def test_cem_refuses_impossible_elites(elites):
    with pytest.raises(ValueError, match=f"elites: found {elites}, expected 1 to 10"):
        cem(lambda x: x.sum(-1), torch.zeros(2), torch.ones(2), **options(samples=10, elites=elites))


# iLQR


def test_a_rollout_is_an_episode_of_the_environment():
    env = PendulumVectorEnv(4)
    env.reset(seed=3)
    start = torch.from_numpy(env.state)
    torques = 3 * torch.randn(4, 30, generator=generator(), dtype=torch.float64)
    plan = rollout(start, torques, PENDULUM)
    returns = np.zeros(4)
    for t in range(30):
        returns += env.step(torques[:, t : t + 1].numpy())[1]
        np.testing.assert_allclose(plan.states[:, t + 1], env.state, atol=1e-9)
    np.testing.assert_allclose(plan.cost, -returns, rtol=1e-9)
    np.testing.assert_array_equal(plan.torques, torques.clip(-2, 2))
    final = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    last = rollout(start, torques, PENDULUM, final=final).cost - plan.cost
    angle, speed = (plan.states[:, -1, 0] + np.pi) % (2 * np.pi) - np.pi, plan.states[:, -1, 1]
    torch.testing.assert_close(last, 2 * angle**2 + angle * speed + speed**2)


def test_near_the_top_one_improvement_is_that_of_lqr():
    """Along the plan that rests at the top, with LQR's cost at the end, all gains are LQR's."""
    lqr, final = LQR(PENDULUM), torch.from_numpy(LQR(PENDULUM).cost)
    start = torch.zeros(1, 2, dtype=torch.float64)
    plan = rollout(start, torch.zeros(1, 20, dtype=torch.float64), PENDULUM, final=final)
    change = improve(plan, PENDULUM, torch.zeros(1, dtype=torch.float64), final)
    np.testing.assert_allclose(change.gains[0], np.broadcast_to(-lqr.gains, (20, 2)), rtol=1e-9)
    assert change.steps.abs().max() == 0


def test_from_near_the_top_ilqr_costs_what_lqr_does():
    final, lqr = torch.from_numpy(LQR(PENDULUM).cost), LQR(PENDULUM)
    start = torch.tensor([[0.02, -0.01]], dtype=torch.float64)
    plan = ilqr(start, torch.zeros(1, 10, dtype=torch.float64), PENDULUM, tolerance=1e-12, final=final)
    x = start[0].numpy()
    assert plan.cost.item() == pytest.approx(x @ lqr.cost @ x, rel=1e-3)
    assert plan.torques[0, 0].item() == pytest.approx(lqr.act(*x), rel=1e-3)


def test_a_plan_is_at_a_minimum_within_the_limits():
    """The derivative of the true cost is 0 where the torque is free; at a limit it pushes outward."""
    start = torch.tensor([[1.0, 0.5], [-2.0, 1.0]], dtype=torch.float64)
    plan = ilqr(start, torch.zeros(2, 40, dtype=torch.float64), PENDULUM, iterations=300, tolerance=1e-10)
    torques = plan.torques.clone().requires_grad_()
    angle, speed, cost = *start.unbind(-1), 0
    for torque in torques.unbind(-1):
        cost = cost - reward(angle, speed, torque)
        angle, speed = transition(angle, speed, torque, PENDULUM)
    (slope,) = torch.autograd.grad(cost.sum(), torques)
    free = torques.abs() < 2
    assert free.any()
    assert slope[free].abs().max() < 0.05
    assert (slope[~free] * torques[~free].sign() <= 0.05).all()


def test_no_iteration_makes_a_plan_worse():
    torques = guesses(HANGING, PENDULUM, 60)
    cost = [ilqr(HANGING, torques, PENDULUM, iterations=count).cost for count in (0, 1, 3, 10)]
    assert all((later <= earlier).all() for earlier, later in itertools.pairwise(cost))
    assert (cost[-1] < cost[0] - 1).all()


def test_plans_in_a_batch_are_plans_alone():
    start = torch.tensor([[np.pi, 0.0], [1.0, -2.0], [-2.5, 0.3]], dtype=torch.float64)
    many = best_plan(start, PENDULUM, 50, 8)
    for index in range(3):
        one = best_plan(start[index : index + 1], PENDULUM, 50, 8)
        torch.testing.assert_close(one.torques[0], many.torques[index], rtol=0, atol=1e-3)


# Controllers


def regrets(model, count, env=ENV, **env_kwargs):
    starts = range(TEST_SEED, TEST_SEED + count)
    return optimal_returns(env, starts, **env_kwargs) - evaluate(model, env, starts, env_kwargs)[0]


@pytest.mark.parametrize(("name", "most"), [("ilqr", 0.5), ("lqr-energy", 20), ("optimum", 0.1)])
def test_regret(name, most):
    found = regrets(controller(name), 6)
    assert -3 < found.mean() < most  # it is below 0 where the grid of the optimum is too coarse


@pytest.mark.slow
@pytest.mark.parametrize(("name", "most"), [("mpc", 0.5), ("ilqr", 0.5), ("mpc-cem", 15), ("lqr-energy", 20)])
def test_regret_over_a_hundred_starts(name, most):
    assert -1 < regrets(controller(name), 100).mean() < most


@pytest.mark.slow
def test_another_pendulum():
    parameters = {"length": 0.7, "mass": 1.3, "damping": 0.1, "friction": 0.05, "max_torque": 2.5}
    model = controller("ilqr", ENV, **parameters)
    assert model.pendulum == Pendulum(**parameters)
    assert regrets(model, 2, **parameters).mean() < 1


def test_torques_to_choose_from():
    model = controller("mpc", "balancier/PendulumDiscrete-v0")
    actions, _ = model.predict(np.array([[-1, 0, 0.5], [1, 0, 0]], np.float32))
    assert actions.dtype == np.int64
    assert actions.shape == (2,)


@pytest.mark.slow
def test_mpc_copes_with_few_torques():
    env = "balancier/PendulumDiscrete-v0"
    assert regrets(controller("mpc", env), 20, env).mean() < 15


@pytest.mark.parametrize("model", [ILQR(PENDULUM, horizon=60), MPC(PENDULUM), SampledMPC(PENDULUM)])
def test_one_observation_is_a_batch_of_one(model):
    obs, batch = np.array([-1, 0, 0.5], np.float32), np.array([[-1, 0, 0.5]], np.float32)
    single, alone = model.predict(obs, None, np.ones(1, np.bool_))
    many, together = model.predict(batch, None, np.ones(1, np.bool_))
    assert single.shape == (1,)
    assert many.shape == (1, 1)
    np.testing.assert_array_equal(single, many[0])
    np.testing.assert_array_equal(alone, together)
    following = model.predict(batch, together, np.zeros(1, np.bool_))[0]
    assert following.shape == (1, 1)


@pytest.mark.parametrize("model", [ILQR(PENDULUM, horizon=60), MPC(PENDULUM)])
def test_an_episode_that_begins_gets_a_plan_of_its_own(model):
    """In a batch, too, where the other episode goes on; the state that was passed stays as it was."""
    hanging, upright = np.array([-1, 0, 0.5], np.float32), np.array([1, 0.01, 0], np.float32)
    _, state = model.predict(np.stack([hanging, upright]))
    before = state.copy()
    action, _ = model.predict(np.stack([upright, upright]), state, np.array([True, False]))
    np.testing.assert_array_equal(state, before)
    np.testing.assert_allclose(action[0], model.predict(upright)[0], atol=1e-5)


def test_ilqr_plans_anew_after_a_push_and_at_the_end_of_its_plan():
    calls = []

    class Counted(ILQR):
        def plan(self, start):
            calls.append(len(start))
            return ILQR.plan(self, start)

    model, env = Counted(PENDULUM, horizon=20, iterations=5), PendulumVectorEnv(2)
    obs, _ = env.reset(seed=0, options={"state": (0.5, 0.0)})
    state, first = None, np.ones(2, np.bool_)
    for t in range(25):
        action, state = model.predict(obs, state, first)
        obs, *_ = env.step(action)
        first = np.zeros(2, np.bool_)
        if t == 9:
            env.state = np.add(env.state, [[0.0, 0.0], [0.0, 2.0]])
            obs = env.observe()
    assert calls[:3] == [2, 1, 1]  # both at first, the pushed one, the other after 20 steps
    assert sum(calls) == 4


def test_a_seed_gives_the_same_plans_again():
    def answers(seed):
        model = SampledMPC(PENDULUM, seed=seed)
        obs = np.array([[-1, 0, 0.5]], np.float32)
        first, state = model.predict(obs)
        return [first, model.predict(obs, state)[0], model.predict(obs)[0]]

    same, other = answers(0), answers(1)
    np.testing.assert_array_equal(same, answers(0))
    np.testing.assert_array_equal(same[0], same[2])
    assert np.abs(np.array(same) - other).max() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_controllers_are_copied_and_sent_to_other_processes(name):
    obs = np.array([[0.9, 0.1, 0.3]], np.float32)
    model = controller(name, PENDULUM, num_steps=200 if name == "optimum" else 40)
    action, _ = model.predict(obs)
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(copied.predict(obs)[0], action)


def test_a_controller_by_its_name():
    assert isinstance(controller("optimum", PENDULUM), Optimum)
    assert controller("ilqr", PENDULUM, num_steps=50).horizon == 50
    assert controller("ilqr", ENV, max_episode_steps=30).horizon == 30
    assert controller("mpc", "balancier/PendulumDiscrete-v0").torques.tolist() == [-2, -1, 0, 1, 2]
    assert controller("energy", ENV, length=0.5).pendulum == Pendulum(length=0.5)


@pytest.mark.parametrize(("name", "env", "words"), [
    ("lqg", PENDULUM, "name: found 'lqg', expected one of lqr, energy"),
    ("mpc", "CartPole-v1", "env: found 'CartPole-v1', expected a pendulum of Balancier's"),
    ("mpc", Pendulum(length=(0.5, 1.0)), "length: found the range"),
    ("optimum", Pendulum(delay=0.1), "delay: found 0.1, expected 0"),
])  # fmt: skip
def test_what_is_no_controller_is_refused(name, env, words):
    with pytest.raises(ValueError) as info:
        controller(name, env)
    assert words in str(info.value)


def test_registered_pendulums_are_known_without_the_batch():
    env = gym.make(ENV)
    obs, _ = env.reset(seed=0)
    action, _ = controller("lqr-energy").predict(obs)
    assert env.action_space.contains(action)
    assert WEIGHTS == (1.0, 0.1, 0.001)
