"""The pendulum as Gymnasium environments, one at a time and in batches: thin shells on `envs.physics`.

n environments of a batch, O observation components.
"""

import math
from dataclasses import fields
from typing import Any, Literal, get_args

import gymnasium as gym
import numpy as np
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.spaces import Box, Discrete
from gymnasium.utils.seeding import np_random
from gymnasium.vector import AutoresetMode
from torch import Tensor

from balancier import check, number, shown, whole
from envs import raster
from envs.physics import EXTREME, Pendulum, clip, cos_sin, reward, transition
from envs.scene import Scene, Track, scene_of, seen_of
from envs.vector import (
    IndependentVectorEnv,
    check_array,
    check_drawable,
    check_options,
    check_render_mode,
    check_seed,
)

Observation = Literal["state", "angle", "pixels"]
START_RANGE = (np.pi, 1.0)  # rad and rad/s: episodes start uniformly within +- these
RESET_OPTIONS = ("x_init", "y_init", "state")
PUSH = 2.0  # a hand's, as a multiple of the largest torque
DRAGGED = 1 / 30  # s between two looks at the hand that holds the bob
BLOCK = 64  # episodes, or noisy observations, whose random numbers an environment of a batch draws at once


class PendulumBase:
    """The part that the scalar environment and the batch share: spaces, parameters, checks."""

    angle: Any  # now, rad
    last_angle: Any  # one step ago; at an episode's start as now
    speed: Any  # rad/s
    viewer: Any
    closed: bool
    render_mode: str | None
    drawn: Pendulum  # the episode's parameters
    commands: np.ndarray  # (..., K), N m: the last torques that the motor was told, the newest first
    noise: np.ndarray | None = None  # (..., 2): errors of angle and speed now, in standard deviations; None for none
    metadata: dict[str, Any] = {"render_modes": ["human", "rgb_array"], "render_fps": 20}  # noqa: RUF012

    def __init__(self, observation: Observation, num_torques: int | None, parameters: dict, size: Any = None):
        if observation not in get_args(Observation):
            raise ValueError(f"observation: found {shown(observation)}, expected 'state', 'angle' or 'pixels'")
        if num_torques is not None:
            check(num_torques=(num_torques, whole(2, 10_000)))
        if observation != "pixels" and size is not None:
            raise ValueError(f"size: found {size!r}, expected None: only observation='pixels' has a size")
        self.size = raster.check_size(size)
        for name, value in parameters.items():
            if isinstance(value, np.ndarray | Tensor):
                raise ValueError(f"{name}: found {shown(value)}, expected a number, or a range (low, high)")
        self.pendulum = Pendulum(**parameters)
        self.with_speed, self.pixels, self.num_torques = observation == "state", observation == "pixels", num_torques
        highest = {name: np.max(getattr(self.pendulum, name)) for name in ("max_torque", "max_speed")}
        high = np.array([1.0, 1.0, highest["max_speed"]][: 3 if self.with_speed else 2], np.float32)
        self.obs_space = Box(-high, high, dtype=np.float32)
        if self.pixels:
            self.obs_space = Box(0, 255, (2 * 3, self.size, self.size), np.uint8)
        self.num_commands = math.floor(self.pendulum.delayed_steps) + 2 if self.pendulum.delayed_steps else 0
        limit = float(highest["max_torque"])
        self.act_space = Box(-limit, limit, (1,), np.float32) if num_torques is None else Discrete(num_torques)

    def observe(self) -> np.ndarray:
        """cos, sin and (unless hidden) speed, (..., O) float32; or the last two frames, (..., 6, H, W) uint8."""
        if self.pixels:
            longest = self.pendulum.ranges.get("length", (None, None))[1]
            share = None if longest is None else self.drawn.length / longest  # type: ignore[operator]
            return raster.frames(np.stack([self.last_angle, self.angle], -1), share, self.size)
        angle, speed, pendulum = self.angle, self.speed, self.drawn
        if self.noise is not None:
            angle = angle + pendulum.angle_noise * self.noise[..., 0]
            speed = clip(speed + pendulum.speed_noise * self.noise[..., 1], pendulum.max_speed)
        obs = np.empty((*np.shape(angle), 3 if self.with_speed else 2), np.float32)
        obs[..., 0], obs[..., 1] = cos_sin(angle)
        if self.with_speed:
            obs[..., 2] = speed
        return obs

    def acting(self, torque: Any) -> Any:
        """The torque that acts in this step, in which the motor is told `torque`: that of `delay` ago.

        A delay of 2.3 steps takes 0.7 of the torque two steps ago and 0.3 of that three steps ago: their mean over the
        step.
        """
        if not self.num_commands:
            return torque
        self.commands = np.concatenate([np.asarray(torque)[..., None], self.commands[..., :-1]], -1)
        late = np.broadcast_to(self.drawn.delay / self.drawn.dt, np.shape(torque))  # type: ignore[operator]
        steps = np.floor(late).astype(np.int64)
        both = np.take_along_axis(self.commands, np.stack([steps, steps + 1], -1), -1)
        return both[..., 0] + (late - steps) * (both[..., 1] - both[..., 0])

    def torque(self, action: Any, shape: tuple[int, ...], pendulum: Pendulum) -> np.ndarray:
        """The torque of an action, clipped; ValueError for an action that is none."""
        action = check_array("action", action)
        if self.num_torques is not None:
            if action.shape != shape or not np.issubdtype(action.dtype, np.integer):
                raise ValueError(f"action: found {shown(action)}, expected whole numbers of shape {shape}")
            if (action < 0).any() or (action >= self.num_torques).any():
                raise ValueError(f"action: found {shown(action)}, expected 0 to {self.num_torques - 1}")
            return (action * (2.0 / (self.num_torques - 1)) - 1.0) * pendulum.max_torque
        if action.shape != (*shape, 1) or action.dtype.kind not in "fiu":
            raise ValueError(f"action: found {shown(action)}, expected numbers of shape {(*shape, 1)}")
        # The torque keeps the action's precision: Gymnasium computes with it in float32 too.
        wanted = action[..., 0]
        torque = clip(wanted, pendulum.max_torque)
        # One sum of products, which takes less time than other sums, finds what is not finite.
        if not math.isfinite(np.dot(wanted, torque)) and not np.isfinite(action).all():
            raise ValueError(f"action: found {shown(action)}, expected finite numbers")
        return torque

    def draw_start(
        self, uniform: np.ndarray, options: dict[str, Any] | None
    ) -> tuple[np.ndarray, np.ndarray, Pendulum]:
        """Angle, speed and parameters of new episodes from numbers (..., 2 + number of ranges) in [0, 1)."""
        options = check_options(options, RESET_OPTIONS)
        pendulum = self.pendulum.draw(uniform[..., 2:]) if self.pendulum.ranges else self.pendulum
        shape = uniform.shape[:-1]
        if "state" in options:
            return *check_state("options: found state", options["state"], shape), pendulum
        limits = []
        for name, default in zip(("x_init", "y_init"), START_RANGE, strict=True):
            limit = options.get(name, default)
            if not number(0, EXTREME).holds(limit):
                raise ValueError(f"options: found {name} {shown(limit)}, expected a number from 0 to {EXTREME:g}")
            limits.append(float(limit))
        low = -np.array(limits)
        drawn = low + (np.array(limits) - low) * uniform[..., :2]
        return drawn[..., 0], clip(drawn[..., 1], pendulum.max_speed), pendulum

    def show(self, scene: Scene, seconds: float) -> Any:
        """The frame as bytes, or what a person asks the window for, after so many seconds (`envs.viewer.Viewer`)."""
        if self.viewer is None:
            from envs.viewer import Viewer

            assert self.render_mode is not None
            self.viewer = Viewer(self.render_mode)
        return self.viewer.show(scene, seconds)

    def __getstate__(self) -> dict[str, Any]:
        """For pickle and copy: all but the window, which the copy opens itself."""
        return self.__dict__ | {"viewer": None}


def noise_stream(generator: np.random.Generator) -> np.random.Generator:
    """The stream of an environment's noise, beside that of its starts, which are the same with noise and without."""
    seeds: Any = generator.bit_generator.seed_seq
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seeds.entropy, spawn_key=(1,))))


def normal(uniform: np.ndarray) -> np.ndarray:
    """Two independent numbers (..., 2) of the standard normal distribution from two (..., 2) in [0, 1).

    The transform of Box and Muller (doi:10.1214/aoms/1177706645). It takes as many random numbers as it gives, so that
    a stream can be found again at any place.
    """
    radius = np.sqrt(-2 * np.log1p(-uniform[..., :1]))
    turn = 2 * np.pi * uniform[..., 1:]
    return radius * np.concatenate([np.cos(turn), np.sin(turn)], -1)


GYMNASIUM = {"g": "gravity", "m": "mass", "l": "length"}  # what `Pendulum-v1` calls them


def parameter(name: str, keyword: str) -> property:
    """A parameter of the pendulum, that of the current episode, to be read alone: spaces and optimum depend on it."""

    def get(env: Any) -> Any:
        return getattr(env.pendulum if env.state is None else env.drawn, keyword)

    def refuse(env: Any, value: Any) -> None:
        raise AttributeError(f"{name}: an environment keeps its parameters, expected gymnasium.make(id, {keyword}=...)")

    return property(get, refuse)


for _name, _keyword in {field.name: field.name for field in fields(Pendulum)}.items() | GYMNASIUM.items():
    setattr(PendulumBase, _name, parameter(_name, _keyword))


def check_state(what: str, state: Any, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Angles and speeds (...) of a state (2,) or (..., 2); ValueError, which begins with `what`, for anything else."""
    try:
        values = np.asarray(state, np.float64)
    except (ValueError, TypeError):
        values = np.full(2, np.nan)
    if values.shape not in ((2,), (*shape, 2)) or not (np.abs(values) <= EXTREME).all():
        raise ValueError(f"{what} {shown(state)}, expected a finite (angle, speed), at most {EXTREME:g}")
    state = values
    angle, speed = np.broadcast_to(state, (*shape, 2)).T.copy()
    return angle, speed


class PendulumEnv(PendulumBase, gym.Env):
    """A pendulum that a motor too weak to lift it has to swing up and balance.

    With default parameters it is the same environment as Gymnasium's `Pendulum-v1`, step for step. A step of 0.05 s
    costs angle^2 + 0.1 speed^2 + 0.001 torque^2 (the angle wrapped to [-pi, pi), 0 upright); the reward is the negative
    cost. Episodes start at any angle with a speed of up to 1 rad/s. They are truncated after 200 steps and never
    terminate.

    | Observation | Unit | Min | Max |
    |---|---|---|---|
    | cosine of the angle, 1 upright | | -1 | 1 |
    | sine of the angle, positive counter-clockwise | | -1 | 1 |
    | speed, positive counter-clockwise; not with `observation="angle"` | rad/s | -8 | 8 |

    | Observation with `observation="pixels"`, (6, size, size) uint8 | Unit | Min | Max |
    |---|---|---|---|
    | channels 0 to 2: red, green and blue one step ago; at an episode's start as now | | 0 | 255 |
    | channels 3 to 5: red, green and blue now | | 0 | 255 |

    | Action | Unit | Min | Max |
    |---|---|---|---|
    | torque, positive counter-clockwise, clipped beyond (`balancier/Pendulum-v0`) | N m | -2 | 2 |
    | index into `num_torques` evenly spaced torques (`balancier/PendulumDiscrete-v0`) | | 0 | 4 |

    | Keyword | Default | Unit |
    |---|---|---|
    | `length` | 1 | m |
    | `mass` | 1 | kg |
    | `gravity` | 10 | m/s^2 |
    | `damping`, viscous | 0 | N m s |
    | `friction`, Coulomb's, as a smooth sign of the speed | 0 | N m |
    | `max_torque` | 2 | N m |
    | `max_speed` | 8 | rad/s |
    | `dt`, time step | 0.05 | s |
    | `torque_gain`, torque of the motor over the torque of the action | 1 | |
    | `delay`, from an action to its torque, at most 100 steps | 0 | s |
    | `angle_noise`, standard deviation of the angle in an observation | 0 | rad |
    | `speed_noise`, standard deviation of the speed in an observation | 0 | rad/s |
    | `inertia`, "rod" or "point" | "rod" | |
    | `integrator`, "euler" (semi-implicit) or "rk4" | "euler" | |
    | `observation`, "state", "angle" or "pixels" | "state" | |
    | `size` of the pixels' picture, 16 to 128 | 32 | |
    | `num_torques` | 5 in `balancier/PendulumDiscrete-v0` | |
    | `render_mode`, "human" or "rgb_array" | None | |

    Each number may be a range `(low, high)`. Every episode then draws a new value from it; the values are in `info`.

    The reward is that of the true angle and speed, and of the action's torque. Noise has a random stream of its own, so
    that an episode starts as it would without. `state` is exact, and so are pixels.

    Pixels show a red rod on white, its pivot in the middle, at the nearest of 4,096 angles (`envs.raster.frames`). A
    length that is a range is drawn as a share of the range's upper end; no other parameter can be seen.

    `reset` takes the options `x_init` and `y_init` (limits of the start's angle and speed, as Gymnasium's) and `state`
    (the exact angle and speed). `state` is an attribute, too, that can be read and set. The parameters are attributes
    that can be read; `g`, `m` and `l` are Gymnasium's names of three of them.

    `gymnasium.utils.play.play(env)` knows the keys: A pulls counter-clockwise and D clockwise. Without a key it takes
    its argument `noop`: `np.zeros(1, np.float32)` or, of five torques, 2.

    Version history: v0, first.

    Raises:
        TypeError: for an unknown keyword, in Python's own words, which others look for.
        ValueError: for values no pendulum has, unknown options, actions not finite or of another shape.
        gymnasium.error.ResetNeeded: for a step before the first reset.
        gymnasium.error.ClosedEnvironmentError: for a step or reset after `close`.
    """

    def __init__(
        self,
        *,
        observation: Observation = "state",
        num_torques: int | None = None,
        size: int | None = None,
        render_mode: str | None = None,
        **parameters: Any,
    ):
        PendulumBase.__init__(self, observation, num_torques, parameters, size)
        check_render_mode(render_mode, self.metadata)
        self.observation_space, self.action_space = self.obs_space, self.act_space
        self.render_mode, self.viewer = render_mode, None
        self.angle = self.last_angle = self.speed = None
        if not self.pendulum.ranges:
            self.drawn = self.pendulum
        self.last_torque, self.closed = 0.0, False
        self.commands = np.zeros(self.num_commands)
        self.noise_source: Any = None  # the generator that the noise stands beside
        self.track, self.episodes = Track(), 0  # of the episode, for its pictures; begun so far

    @property
    def state(self) -> np.ndarray | None:
        """Angle (rad, 0 upright) and speed (rad/s), as in Gymnasium's `Pendulum-v1`; it can be set; None at first."""
        return None if self.angle is None else np.array([self.angle, self.speed])

    @state.setter
    def state(self, value: Any) -> None:
        if not hasattr(self, "drawn"):
            raise ResetNeeded("the pendulum has no parameters yet; call reset before setting its state")
        self.angle, self.speed = check_state("state: found", value, ())
        self.last_angle = self.angle

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        self.check_open()
        super().reset(seed=check_seed(seed))
        uniform = self.np_random.random(2 + len(self.pendulum.ranges))
        self.angle, self.speed, self.drawn = self.draw_start(uniform, options)
        self.last_angle, self.last_torque = self.angle, 0.0
        self.commands = np.zeros(self.num_commands)
        self.draw_noise()
        self.episodes += 1
        if self.render_mode is not None:
            self.track = Track(float(self.drawn.dt))  # type: ignore[arg-type]
            self.track.add(self.angle, self.speed)
        if self.render_mode == "human":
            self.show_in_window()
        info = {name: float(getattr(self.drawn, name)) for name in self.pendulum.ranges}
        return self.observe(), info

    def step(self, action: Any):
        self.check_open()
        if self.angle is None:
            raise ResetNeeded("the pendulum has no state yet; call reset before step")
        torque = self.torque(action, (), self.drawn)
        gain = reward(self.angle, self.speed, torque)
        self.last_angle, torque = self.angle, self.acting(torque)
        self.angle, self.speed = transition(self.angle, self.speed, torque, self.drawn)
        self.draw_noise()
        self.last_torque = float(torque)
        if self.render_mode is not None:
            self.track.add(self.angle, self.speed, self.last_torque, float(gain))
        if self.render_mode == "human":
            self.show_in_window(float(self.drawn.dt))  # type: ignore[arg-type]
        return self.observe(), gain, False, False, {}

    def draw_noise(self) -> None:
        """New errors of measurement."""
        if self.pendulum.noisy:
            if self.noise_source is not self.np_random:
                self.noise_source, self.noise_generator = self.np_random, noise_stream(self.np_random)
            self.noise = normal(self.noise_generator.random(2))

    def check_open(self) -> None:
        """Raise ClosedEnvironmentError if the environment, or its window, was closed."""
        if self.closed:
            raise ClosedEnvironmentError("the pendulum was closed; make a new one")
        if self.viewer is not None and self.viewer.closed:
            raise ClosedEnvironmentError("the pendulum's window was closed by its user; make a new environment")

    def show_in_window(self, seconds: float = 0.0) -> None:
        """Show the step in real time. A person may drag the bob, which then hangs at the pointer, or push it."""
        commands = self.show(self.scene(), seconds)
        while commands.drag is not None and not commands.closed:
            self.state = (commands.drag[1], 0.0)
            commands = self.show(self.scene(), DRAGGED)
        if share := commands.torque_share(self.angle):
            self.push(share)

    def scene(self) -> Scene:
        """What the window shows now."""
        return scene_of(self, self.track, episode=self.episodes, seen=seen_of(self, self.observe()))

    def push(self, share: float) -> None:
        """A hand's push, as if a torque of `share` (-1 to 1) times twice the largest had acted for one step, too."""
        torque = PUSH * share * self.drawn.max_torque  # type: ignore[operator]
        change = self.drawn.gains[1] * torque * self.drawn.dt
        self.speed = clip(np.float64(self.speed + change), self.drawn.max_speed)

    def render(self) -> np.ndarray | None:
        """The frame as bytes (500, 500, 3) with `render_mode="rgb_array"`; with "human" it is in the window."""
        check_drawable(self.render_mode, self.closed, self.angle is not None, '"rgb_array" or "human"')
        if self.render_mode == "human":
            return self.show_in_window()
        return self.show(scene_of(self, self.track), 0.0)

    def get_keys_to_action(self) -> dict[tuple[str, ...], Any]:
        """The keys of `gymnasium.utils.play`: A for the largest torque counter-clockwise, D clockwise."""
        if self.num_torques is not None:
            return {("a",): self.num_torques - 1, ("d",): 0}
        return {("a",): self.action_space.high, ("d",): self.action_space.low}  # type: ignore[attr-defined]

    def close(self):
        if self.viewer is not None:
            self.viewer.close()
            self.viewer = None
        self.closed = True


class PendulumVectorEnv(PendulumBase, IndependentVectorEnv):
    """A batch of pendulums stepped as arrays; number i is `PendulumEnv` reset with its seed, episode after episode.

    Keywords as `PendulumEnv`, and `autoreset_mode`: how the next episode follows an episode's end (as in Gymnasium).
    The random numbers of an environment depend on its own seed alone. Observations and actions as in Gymnasium's vector
    environments: (n, O) or (n, 6, size, size), (n, 1) or (n,). `state` (n, 2) can be read and set.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012

    def __init__(
        self,
        num_envs: int = 1,
        *,
        max_episode_steps: int = 200,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        observation: Observation = "state",
        num_torques: int | None = None,
        size: int | None = None,
        render_mode: str | None = None,
        **parameters: Any,
    ):
        PendulumBase.__init__(self, observation, num_torques, parameters, size)
        IndependentVectorEnv.__init__(
            self, num_envs, self.obs_space, self.act_space, max_episode_steps, autoreset_mode, render_mode
        )
        self.batch_shape = (num_envs,)
        self.angle, self.last_angle, self.speed, self.last_torque = np.zeros((4, num_envs))
        self.viewer = None
        self.tracks: list[Track] = []  # one for each pendulum, from the first picture on
        self.episodes = np.zeros(num_envs, np.int64)  # begun since the seed was given
        self.generators: list[Any] = [None] * num_envs
        self.block = np.empty((num_envs, BLOCK, 2 + len(self.pendulum.ranges)))  # random numbers of BLOCK episodes
        self.drawn = self.pendulum
        if self.pendulum.ranges:
            self.drawn = self.pendulum.at({name: np.ones(num_envs) for name in self.pendulum.ranges})
        self.commands = np.zeros((num_envs, self.num_commands))
        names = ["last_angle"] * self.pixels + ["commands"] * bool(self.num_commands)
        if self.pendulum.noisy:
            self.noise, self.noise_block = np.zeros((num_envs, 2)), np.empty((num_envs, BLOCK, 2))
            self.noise_generators: list[Any] = [None] * num_envs
            self.measured = np.zeros(num_envs, np.int64)  # observations since the seed was given
            names.append("measured")
        self.state_names = ("angle", "speed", "steps", "episodes", *names, "seeds")

    def begin_stream(self, index: int) -> None:
        assert self.seeds is not None
        self.generators[index], self.episodes[index] = np_random(int(self.seeds[index]))[0], 0
        if self.noise is not None:
            self.noise_generators[index], self.measured[index] = noise_stream(self.generators[index]), 0

    def draw_noise(self, indices: np.ndarray) -> None:
        """New errors of measurement of these pendulums."""
        if self.noise is None:
            return
        offset = self.measured[indices] % BLOCK
        for index in indices[offset == 0]:
            self.noise_generators[index].random(out=self.noise_block[index])
        self.measured[indices] += 1
        self.noise = self.noise.copy()
        self.noise[indices] = normal(self.noise_block[indices, offset])

    def begin_episodes(self, indices: np.ndarray, options: dict[str, Any]) -> dict[str, Any]:
        offset = self.episodes[indices] % BLOCK
        for index in indices[offset == 0]:
            self.generators[index].random(out=self.block[index])
        self.episodes[indices] += 1
        angle, speed, drawn = self.draw_start(self.block[indices, offset], options)
        self.angle, self.last_angle, self.speed = self.angle.copy(), self.last_angle.copy(), self.speed.copy()
        self.angle[indices], self.last_angle[indices], self.speed[indices] = angle, angle, speed
        self.last_torque[indices] = self.commands[indices] = 0.0
        self.draw_noise(indices)
        for index in indices if self.tracks else ():
            self.tracks[index].clear()
        if not self.pendulum.ranges:
            return {}
        mask, info = np.zeros(self.num_envs, np.bool_), {}
        mask[indices] = True
        values = {name: np.array(getattr(self.drawn, name)) for name in self.pendulum.ranges}
        for name, value in values.items():
            value[indices] = getattr(drawn, name)
            info |= {name: np.where(mask, value, 0.0), f"_{name}": mask}
        self.drawn = self.pendulum.at(values)
        return info

    def advance(self, actions: Any) -> np.ndarray:
        torque = self.torque(actions, self.batch_shape, self.drawn)
        rewards = reward(self.angle, self.speed, torque)
        self.last_angle, torque = self.angle, self.acting(torque)
        self.angle, self.speed = transition(self.angle, self.speed, torque, self.drawn)
        if self.noise is not None:  # those whose episode is over only begin their next one
            self.draw_noise(np.flatnonzero(self.steps < self.max_episode_steps))
        self.last_torque = torque
        return rewards

    @property
    def state(self) -> np.ndarray | None:
        """Angles (rad, 0 upright) and speeds (rad/s), (n, 2); they can be set; None at first."""
        return None if self.seeds is None else np.stack([self.angle, self.speed], 1)

    @state.setter
    def state(self, value: Any) -> None:
        if self.seeds is None:
            raise ResetNeeded("the environments have no state yet; call reset before setting it")
        self.angle, self.speed = check_state("state: found", value, self.batch_shape)
        self.last_angle = self.angle

    def render(self) -> list[np.ndarray]:  # type: ignore[override]
        """n frames (500, 500, 3) uint8, as Gymnasium's batch of CartPoles draws them."""
        check_drawable(self.render_mode, self.closed, self.seeds is not None, '"rgb_array" or "human"')
        self.tracks = self.tracks or [Track() for _ in range(self.num_envs)]
        names = ("max_torque", "length", "mass")
        values = [self.angle, self.speed, self.last_torque, *(getattr(self.drawn, name) for name in names)]
        longest = float(np.max(self.pendulum.length))
        frames = []
        for track, *numbers in zip(self.tracks, *np.broadcast_arrays(*values), strict=True):
            angle, speed, torque, max_torque, length, mass = map(float, numbers)
            track.add(angle, speed, torque)
            frames.append(self.show(Scene(angle, speed, torque, max_torque, length, mass, longest, track=track), 0.0))
        return frames

    def close_extras(self, **kwargs: Any) -> None:
        if self.viewer is not None:
            self.viewer.close()

    def get_state(self) -> dict[str, np.ndarray]:
        """Everything that the next step depends on, random streams included."""
        drawn = {name: np.array(getattr(self.drawn, name)) for name in self.pendulum.ranges}
        return super().get_state() | drawn

    def restore_episodes(self, state: dict[str, np.ndarray]) -> None:
        self.drawn = self.pendulum.at({name: np.array(state[name]) for name in self.pendulum.ranges})
        # The current block of random numbers begins after all earlier blocks; PCG64 jumps there.
        streams = [(self.generators, self.episodes, self.block)]
        if self.noise is not None:
            streams.append((self.noise_generators, self.measured, self.noise_block))
        for generators, counts, blocks in streams:
            for generator, count, block in zip(generators, counts.tolist(), blocks, strict=True):
                if count:
                    generator.bit_generator.advance((count - 1) // BLOCK * block.size)
                    generator.random(out=block)
        if self.noise is not None:
            self.noise = normal(self.noise_block[np.arange(self.num_envs), (self.measured - 1) % BLOCK])
