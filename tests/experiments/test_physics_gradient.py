"""The lesson on gradients through physics: gradients worked out by hand, its numbers, and the flags that it refuses."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from experiments import physics_gradient as lesson
from experiments.common import through_physics as core
from experiments.common.through_physics import PhysicsPolicy, Recipe, optimize, simulate, top_growth


def returns(torques, angle=0.0, speed=0.0):
    first, rate = (torch.full(torques.shape[:-1], x, dtype=torch.float64) for x in (angle, speed))
    return simulate(first, rate, lambda t, *_: torques[..., t], torques.shape[-1])[0].sum(0)


def test_a_gradient_by_hand():
    """Upright and at rest, a torque u gives 3 u dt = 0.15 u of speed, and 0.0075 u of angle, after a step."""
    torques = torch.tensor([1.5, 0.5], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(returns(torques), torques)
    first = -2 * (0.001 + 0.0075**2 + 0.1 * 0.15**2) * 1.5
    torch.testing.assert_close(gradient, torch.tensor([first, -2 * 0.001 * 0.5], dtype=torch.float64))


def test_back_propagation_gives_the_slope_of_the_return():
    torques = torch.tensor(np.random.default_rng(0).uniform(-1, 1, 20)).requires_grad_()
    (gradient,) = torch.autograd.grad(returns(torques, 2.0, 0.5), torques)
    step = 1e-6 * torch.eye(20, dtype=torch.float64)
    with torch.no_grad():
        slope = (returns(torques + step, 2.0, 0.5) - returns(torques - step, 2.0, 0.5)) / 2e-6
    torch.testing.assert_close(gradient, slope, rtol=1e-6, atol=1e-6)


def test_errors_at_the_top_grow_as_the_eigenvalue_says():
    """A = [[1 + k, dt], [15 dt, 1]] with k = 15 dt^2 = 0.0375: the larger eigenvalue is 1.2133."""
    larger = np.linalg.eigvals(np.array([[1.0375, 0.05], [0.75, 1.0]])).max()
    assert top_growth() == pytest.approx(larger, rel=1e-12)
    assert top_growth() == pytest.approx(1.2133, abs=1e-4)
    angle = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    after = [simulate(angle, torch.zeros_like(angle), lambda *_: torch.zeros_like(angle), t)[1] for t in (60, 61)]
    slopes = [float(torch.autograd.grad(x, angle)[0]) for x in after]
    assert slopes[1] / slopes[0] == pytest.approx(larger, rel=1e-6)


def test_a_gradient_with_the_policy_in_the_loop_is_that_of_a_whole_motion():
    """u = -20 angle - 5 speed + extra: the gradient contains what the controller does about the extra torque."""
    extra = torch.tensor([0.3, 0.0], dtype=torch.float64, requires_grad=True)
    zero = torch.tensor(0.0, dtype=torch.float64)
    rewards = simulate(zero, zero, lambda t, a, s: -20 * a - 5 * s + extra[t], 2)[0]
    (gradient,) = torch.autograd.grad(rewards.sum(), extra)
    second = -20 * 0.0075 - 5 * 0.15  # torque of the second step, for an extra torque of 1 in the first
    expected = -2 * 0.3 * (0.001 + 0.0075**2 + 0.1 * 0.15**2 + 0.001 * second**2)
    assert float(gradient[0]) == pytest.approx(expected, rel=1e-9)


def test_torque_sequences_become_better_and_are_what_their_returns_say():
    starts, recipe = np.array([[0.3, 0.0], [3.0, 0.1]]), Recipe(1.0, window=30, keep=10)
    shares: list[float] = []
    plans = optimize(recipe, [4, 5], starts, 3, 16, shares.append)
    assert sum(shares) == pytest.approx(1)
    assert plans.returns.shape == (2, 2, 3)
    assert core.motion(starts[1], plans.after)[1] == pytest.approx(plans.returns[0, 1].max())
    assert plans.returns[0, 1].max() > core.motion(starts[1], plans.before)[1] + 300
    alone = optimize(recipe, [5], starts, 3, 16, shares.append)
    np.testing.assert_allclose(alone.returns[0], plans.returns[1])


def test_a_climb_keeps_its_best_and_clips_each_sequence(monkeypatch):
    """One step: Adam's first step is its learning rate times the sign of the gradient, whatever the clipping."""
    raw = torch.full((1, 2), 0.5, dtype=torch.float64)
    zero = torch.zeros(1, dtype=torch.float64)
    best, longest = core.climb(Recipe(1.0), zero, zero, raw, 1)
    torch.testing.assert_close(best, raw - core.TORQUE_RATE, rtol=1e-5, atol=0)  # less torque is better at the top
    torque = 2 * math.tanh(0.5)
    by_torque = np.array([2 * (0.001 + 0.0075**2 + 0.1 * 0.15**2), 2 * 0.001]) * torque
    assert longest == pytest.approx(float(np.linalg.norm(by_torque * 2 * (1 - math.tanh(0.5) ** 2))))
    monkeypatch.setattr(core, "TORQUE_RATE", 100.0)  # one step too far
    best, _ = core.climb(Recipe(), zero, zero, raw, 1)
    torch.testing.assert_close(best, raw)


def objective(policy, angle, speed):
    """J (S, N) of each pendulum, the rewards (h, S, N) and the state at the end, by the formula of the class."""
    act = lambda t, a, s: policy.torque(core.observe(a, s))  # noqa: E731
    rewards, last, last_speed = simulate(angle, speed, act, policy.window)
    value = policy.slow_value(core.observe(last, last_speed)).squeeze(-1)
    discounts = core.GAMMA ** torch.arange(policy.window)[:, None, None]
    return (
        (core.REWARD_SCALE * discounts * rewards).sum(0) + core.GAMMA**policy.window * value,
        rewards,
        last,
        last_speed,
    )


def test_a_window_climbs_and_says_what_the_value_should_learn():
    policy = PhysicsPolicy([0, 1], 4, 1_000)
    angle, speed = policy.angle, policy.speed
    assert angle.shape == (2, 8)
    with torch.no_grad():
        before, rewards, last, last_speed = objective(policy, angle, speed)
    policy.policy_adam.learning_rate = 1e-4
    new_angle, new_speed, obs, target = policy.improve(angle, speed)
    torch.testing.assert_close(target[:, 0], before)
    torch.testing.assert_close((new_angle, new_speed), (last, last_speed))
    torch.testing.assert_close(obs[:, 0], core.observe(angle, speed))
    assert target.shape == (2, 4, 8)
    value = policy.slow_value(core.observe(last, last_speed)).squeeze(-1)
    torch.testing.assert_close(target[:, -1], core.REWARD_SCALE * rewards[-1] + core.GAMMA * value)
    with torch.no_grad():
        assert (objective(policy, angle, speed)[0].mean(1) > before.mean(1)).all()


def test_the_value_comes_nearer_to_its_targets_and_its_copy_follows_slowly():
    policy = PhysicsPolicy([0], 2, 1_000)
    *_, obs, target = policy.improve(policy.angle, policy.speed)
    old = [parameter.clone() for parameter in policy.slow_value.parameters()]
    errors = [float(policy.fit_value(obs, target).detach()) for _ in range(20)]
    assert errors[-1] < 0.5 * errors[0]
    policy = PhysicsPolicy([0], 2, 1_000)
    policy.fit_value(obs, target)
    for before, slow, fast in zip(old, policy.slow_value.parameters(), policy.value.parameters(), strict=True):
        torch.testing.assert_close(slow, before + core.FOLLOW * (fast - before))


def test_a_seed_learns_the_same_alone_and_among_others(float64):
    policies = [PhysicsPolicy(seeds, 4, 2_000) for seeds in ([3], [2, 3, 4])]
    for policy in policies:
        policy.learn(1_000, lambda policy: None)
        assert policy.num_timesteps == 1_024
    alone, among = (policy.policy.state_dict() for policy in policies)
    for name, weight in alone.items():
        torch.testing.assert_close(weight[0], among[name][1], rtol=0, atol=1e-9)


def test_own_episodes_go_on_and_end_in_turn():
    policy = PhysicsPolicy([0], 8, 10_000, own_episodes=True)  # four pendulums, 0, 50, 100 and 150 steps old
    assert policy.speed.abs().max() <= 1
    ages = []
    for _ in range(25):
        policy.learn(32, lambda policy: None)
        ages.append(policy.age.tolist())
    ends = [[i for i, row in enumerate(ages) if not row[place]] for place in range(4)]
    assert ends == [[24], [18], [12], [6]]  # after 200, 152, 104 and 56 steps


@pytest.mark.slow
def test_the_quick_form_shows_what_the_lesson_claims():
    numbers = lesson.result(lesson.measure(lesson.PhysicsGradient(quick=True, jobs=1)))
    policies, torques = numbers["policies"], numbers["torques"]
    assert policies[lesson.POLICY]["regret"] < 20
    assert policies[lesson.OWN]["regret"] > 300  # the gradient sees only what is near
    steps, seconds = (
        {name: row[f"at_equal_{key}"]["regret"] for name, row in policies.items()} for key in ("steps", "seconds")
    )
    assert min(steps, key=lambda name: steps[name]) == "SAC"  # which needs the fewest steps
    assert min(seconds, key=lambda name: seconds[name]) == lesson.POLICY  # which needs the fewest seconds
    assert numbers["windows"]["2"]["regret"] < 0.8 * numbers["windows"]["8"]["regret"]
    assert torques["clipped, moving window"]["regret"] < 5
    assert torques["clipped, moving window"]["one_restart"]["regret"] < 0.1 * torques["plain"]["one_restart"]["regret"]
    assert numbers["growth"]["measured"] == pytest.approx(top_growth(), abs=0.02)
    assert numbers["gradient"][core.FIXED] > 1e9 * numbers["gradient"][core.LOOP]


def test_the_files_of_a_run(tmp_path):
    flags = (
        "--quick",
        "--seeds",
        "2",
        "--steps",
        "2000",
        "--window",
        "32",
        "--iterations",
        "8",
        "--starts",
        "2",
        "--restarts",
        "2",
    )
    assert lesson.main([*flags, "--eval-episodes", "4", "--jobs", "1", "--out", str(tmp_path)]) == 0
    pictures = {path.stem for path in tmp_path.glob("*.png")}
    assert pictures == set(lesson.PAGE.captions)
    for name in pictures:
        width, height = Image.open(tmp_path / f"{name}.png").size
        assert width <= 2.2 * height
    result = json.loads((tmp_path / "result.json").read_text())
    assert list(result["policies"]) == list(lesson.METHODS)
    assert list(result["torques"]) == list(lesson.QUICK_RECIPES)
    assert list(result["windows"]) == ["8", "32"]
    assert result["equal_steps"] == 400  # of SAC
    for row in result["policies"].values():
        assert len(row["per_seed"]) == 2
        assert row["at_equal_steps"]["regret"] > 0
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * (4 * 8 + 2 + 2)  # evaluations of four methods, windows, recipes, two seeds each


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--window", "0"], "--window: found 0, expected 1 to 100"),
        (["--steps", "10"], "--steps: found 10, expected at least 2000"),
        (["--restarts", "0"], "--restarts: found 0, expected at least 1"),
    ],
)
def test_impossible_flags_are_refused(flags, words, tmp_path, capsys):
    assert lesson.main([*flags, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
