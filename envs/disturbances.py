"""What happens to a real pendulum besides: a motor that is not exact, and pushes. Wrappers, one by one and for batches.

Mass, length, delay and errors of measurement are keywords of the environment itself (`envs.physics.Pendulum`).

    env = Pushes(TorqueNoise(gym.make("balancier/Pendulum-v0"), std=0.5), speed=2.0, every=50)

The random numbers are a pure function of the environment's seed, of the number of the episode and of the step. So
episodes begin as they would without, number i of a batch is the single environment with its seed, and a batch whose
state was saved goes on as it would have.

n environments of a batch.
"""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv, VectorWrapper

from balancier import check, number, shown, whole
from envs.pendulum import PendulumBase, PendulumVectorEnv, normal
from envs.physics import EXTREME, clip
from envs.vector import check_array

Moment = tuple[
    np.ndarray, np.ndarray, np.ndarray
]  # seeds, episodes since the seed was given, steps in the episode: (n,)
NOISE, PUSH = 1, 2  # purposes of random numbers
EVERY = 70  # steps between two pushes


def mix(x: np.ndarray) -> np.ndarray:
    """uint64 numbers (n,) whose bits all depend on all bits of x (splitmix64, doi:10.1145/2660193.2660195)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def uniform(moment: Moment, *purpose: int) -> np.ndarray:
    """A random number in [0, 1) for each environment, (n,): the same for the same moment and purpose."""
    x = np.zeros(len(moment[0]), np.uint64)
    for part in (*moment, *purpose):
        x = mix((x + np.uint64(0x9E3779B97F4A7C15)) ^ np.asarray(part).astype(np.uint64))
    return (x >> np.uint64(11)) * 2.0**-53


def noisy(action: Any, std: float, env: Any, moment: Moment) -> Any:
    """Torques (n, 1) or (1,), clipped to what the motor has, plus an error whose standard deviation is `std`, N m."""
    action, shape = check_array("action", action), (*np.shape(env.speed), 1)
    if action.shape != shape or action.dtype.kind not in "fiu" or not np.isfinite(action).all():
        return action  # the environment says what is wrong
    error = normal(np.stack([uniform(moment, NOISE, i) for i in range(2)], -1))[:, 0].reshape(shape)
    return clip(action, np.asarray(env.drawn.max_torque)[..., None]) + std * error


def push(env: Any, speed: float, every: int, moment: Moment) -> None:
    """Change the speed of the pendulums whose time has come by `speed` (rad/s), to a random side."""
    steps = np.reshape(moment[2], np.shape(env.speed))
    side = np.where(uniform(moment, PUSH) < 0.5, -1.0, 1.0).reshape(np.shape(env.speed))
    due = (steps > 0) & (steps % every == 0)
    env.speed = np.where(due, clip(env.speed + speed * side, env.drawn.max_speed), env.speed)[()]


def check_pendulum(env: Any, batch: bool, torque: bool) -> None:
    """ValueError for what is not one of our pendulums, or not a batch of them, or one without a continuous torque."""
    kind = VectorEnv if batch else gym.Env
    found = f"env: found {shown(getattr(env, 'unwrapped', env))}"
    if not isinstance(env, kind) or not isinstance(env.unwrapped, PendulumBase):
        raise ValueError(f"{found}, expected {'a batch of pendulums' if batch else 'a pendulum'} of Balancier's")
    if torque and not isinstance(env.unwrapped.act_space, Box):
        raise ValueError(f"{found} with {env.unwrapped.num_torques} torques, expected one that takes any torque")


class DisturbedPendulum(gym.Wrapper, RecordConstructorArgs):
    """A pendulum that counts its episodes and steps."""

    def __init__(self, env: gym.Env, torque: bool = False, **settings: Any):
        check_pendulum(env, False, torque)
        RecordConstructorArgs.__init__(self, **settings)
        gym.Wrapper.__init__(self, env)
        self.episodes = self.steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        answer = self.env.reset(seed=seed, options=options)
        self.episodes, self.steps = 1 if seed is not None else self.episodes + 1, 0
        return answer

    def step(self, action: Any):
        if self.episodes:  # else the environment says what is wrong
            numbers = (self.unwrapped.np_random_seed % 2**64, self.episodes, self.steps)
            seed, episodes, steps = (np.array([x], np.uint64) for x in numbers)
            action = self.disturb(action, (seed, episodes, steps))
        answer = self.env.step(action)
        self.steps += 1
        return answer

    def disturb(self, action: Any, moment: Moment) -> Any:
        """Disturb the environment before this step, or the action, which is returned."""
        raise NotImplementedError


class TorqueNoise(DisturbedPendulum):
    """The torque of every step has an error, which is normally distributed; the sum is clipped as any torque.

    Args:
        env: a pendulum of ours that takes any torque.
        std: standard deviation of the error, N m.

    Raises:
        ValueError: for another environment, or a standard deviation below 0.
    """

    def __init__(self, env: gym.Env, std: float):
        check(std=(std, number(0, EXTREME)))
        super().__init__(env, torque=True, std=std)
        self.std = std

    def disturb(self, action: Any, moment: Moment) -> Any:
        return noisy(action, self.std, self.unwrapped, moment)


class Pushes(DisturbedPendulum):
    """A push changes the speed at once, to a random side, every so many steps of an episode.

    Args:
        env: a pendulum of ours.
        speed: change of the speed, rad/s.
        every: steps from a push to the next; the first comes as many steps after the start.

    Raises:
        ValueError: for another environment, a speed below 0, or steps below 1.
    """

    def __init__(self, env: gym.Env, speed: float, every: int = EVERY):
        check(speed=(speed, number(0, EXTREME)), every=(every, whole(1)))
        super().__init__(env, speed=speed, every=every)
        self.speed, self.every = speed, every

    def disturb(self, action: Any, moment: Moment) -> Any:
        push(self.unwrapped, self.speed, self.every, moment)
        return action


class DisturbedBatch(VectorWrapper):
    """A batch of pendulums (`PendulumVectorEnv`), which counts its own episodes and steps."""

    def __init__(self, env: VectorEnv, torque: bool = False):
        check_pendulum(env, True, torque)
        super().__init__(env)

    def step(self, actions: Any):
        base: PendulumVectorEnv = self.unwrapped  # type: ignore[assignment]
        if base.seeds is not None:  # else the environment says what is wrong
            actions = self.disturb(actions, (base.seeds, base.episodes, base.steps))
        return self.env.step(actions)

    def disturb(self, actions: Any, moment: Moment) -> Any:
        """Disturb the environments before this step, or the actions, which are returned."""
        raise NotImplementedError


class VectorTorqueNoise(DisturbedBatch):
    """`TorqueNoise` of a batch."""

    def __init__(self, env: VectorEnv, std: float):
        check(std=(std, number(0, EXTREME)))
        super().__init__(env, torque=True)
        self.std = std

    def disturb(self, actions: Any, moment: Moment) -> Any:
        return noisy(actions, self.std, self.unwrapped, moment)


class VectorPushes(DisturbedBatch):
    """`Pushes` of a batch."""

    def __init__(self, env: VectorEnv, speed: float, every: int = EVERY):
        check(speed=(speed, number(0, EXTREME)), every=(every, whole(1)))
        super().__init__(env)
        self.speed, self.every = speed, every

    def disturb(self, actions: Any, moment: Moment) -> Any:
        push(self.unwrapped, self.speed, self.every, moment)
        return actions
