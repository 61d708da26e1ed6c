"""The pendulum as Gymnasium environments, one at a time and in batches: thin shells on `envs.physics`.

n environments of a batch, O observation components.
"""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Literal, get_args

import gymnasium as gym
import numpy as np
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.spaces import Box, Discrete
from gymnasium.utils.seeding import np_random
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from envs import raster
from envs.physics import Pendulum, clip, reward, transition
from envs.seeding import row_seeds

Observation = Literal["state", "angle", "pixels"]
START_RANGE = (np.pi, 1.0)  # rad and rad/s: episodes start uniformly within +- these
RESET_OPTIONS = ("x_init", "y_init", "state")
BLOCK = 64  # episodes whose random numbers a row of a batch draws at once


class PendulumWorld:
    """What the scalar environment and the batch share: spaces, parameters, checks."""

    angle: Any  # now, rad
    last_angle: Any  # one step ago; at an episode's start as now
    speed: Any  # rad/s
    drawn: Pendulum  # the episode's parameters
    metadata: dict[str, Any] = {"render_modes": ["human", "rgb_array"], "render_fps": 20}  # noqa: RUF012

    def __init__(self, observation: Observation, num_torques: int | None, render_mode: str | None, parameters: dict):
        known = [field.name for field in fields(Pendulum)]
        for name in parameters:
            if name not in known:
                raise ValueError(f"{name}: no parameter of the pendulum, which has {', '.join(known)}")
        if observation not in get_args(Observation):
            raise ValueError(f"observation: found {observation!r}, expected 'state', 'angle' or 'pixels'")
        whole = isinstance(num_torques, int) and not isinstance(num_torques, bool)
        if num_torques is not None and (not whole or num_torques < 2):
            raise ValueError(f"num_torques: found {num_torques!r}, expected a whole number of at least 2")
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode: found {render_mode!r}, expected one of {self.metadata['render_modes']}")
        self.pendulum = Pendulum(**parameters)
        self.with_speed, self.pixels, self.num_torques = observation == "state", observation == "pixels", num_torques
        highest = {name: np.max(getattr(self.pendulum, name)) for name in ("max_torque", "max_speed")}
        high = np.array([1.0, 1.0, highest["max_speed"]][: 3 if self.with_speed else 2], np.float32)
        self.obs_space = Box(-high, high, dtype=np.float32)
        if self.pixels:
            self.obs_space = Box(0, 255, (2 * 3, raster.SIZE, raster.SIZE), np.uint8)
        limit = float(highest["max_torque"])
        self.act_space = Box(-limit, limit, (1,), np.float32) if num_torques is None else Discrete(num_torques)

    def observe(self) -> np.ndarray:
        """cos, sin and (unless hidden) speed, (..., O) float32; or the last two frames, (..., 6, 32, 32) uint8."""
        if self.pixels:
            longest = self.pendulum.ranges.get("length", (None, None))[1]
            share = None if longest is None else self.drawn.length / longest  # type: ignore[operator]
            return raster.frames(np.stack([self.last_angle, self.angle], -1), share)
        obs = np.empty((*np.shape(self.angle), 3 if self.with_speed else 2), np.float32)
        angle = np.asarray(self.angle, np.float32)
        np.cos(angle, out=obs[..., 0])
        np.sin(angle, out=obs[..., 1])
        if self.with_speed:
            obs[..., 2] = self.speed
        return obs

    def torque(self, action: Any, shape: tuple[int, ...], pendulum: Pendulum) -> np.ndarray:
        """The torque that an action stands for, clipped; ValueError for one that is none."""
        action = np.asarray(action)
        if self.num_torques is not None:
            if action.shape != shape or not np.issubdtype(action.dtype, np.integer):
                raise ValueError(f"action: found {action!r}, expected whole numbers of shape {shape}")
            if (action < 0).any() or (action >= self.num_torques).any():
                raise ValueError(f"action: found {action!r}, expected 0 to {self.num_torques - 1}")
            return (action * (2.0 / (self.num_torques - 1)) - 1.0) * pendulum.max_torque
        if action.shape != (*shape, 1) or not np.issubdtype(action.dtype, np.number):
            raise ValueError(f"action: found {action!r}, expected numbers of shape {(*shape, 1)}")
        # The torque keeps the action's precision: Gymnasium computes with it in float32 too.
        torque = clip(action.reshape(shape), pendulum.max_torque)
        # One sum finds any NaN; infinities would have become the largest torque, so they are looked for as such.
        if not np.isfinite(action.sum()) and not np.isfinite(action).all():
            raise ValueError(f"action: found {action!r}, expected finite numbers")
        return torque

    def start(self, uniform: np.ndarray, options: dict[str, Any] | None) -> tuple[np.ndarray, np.ndarray, Pendulum]:
        """Angle, speed and parameters of new episodes from numbers (..., 2 + number of ranges) in [0, 1)."""
        options = options or {}
        for name in options:
            if name not in RESET_OPTIONS:
                raise ValueError(f"options: found {name!r}, expected any of {', '.join(RESET_OPTIONS)}")
        pendulum = self.pendulum.draw(uniform[..., 2:]) if self.pendulum.ranges else self.pendulum
        shape = uniform.shape[:-1]
        if "state" in options:
            state = np.asarray(options["state"], np.float64)
            if state.shape not in ((2,), (*shape, 2)) or not np.isfinite(state).all():
                raise ValueError(f"options: found state {options['state']!r}, expected a finite (angle, speed)")
            return np.broadcast_to(state[..., 0], shape).copy(), np.broadcast_to(state[..., 1], shape).copy(), pendulum
        limits = []
        for name, default in zip(("x_init", "y_init"), START_RANGE, strict=True):
            limit = options.get(name, default)
            if isinstance(limit, bool) or not isinstance(limit, int | float | np.number) or not np.isfinite(limit):
                raise ValueError(f"options: found {name} {limit!r}, expected a finite number")
            limits.append(float(limit))
        low = -np.array(limits)
        drawn = low + (np.array(limits) - low) * uniform[..., :2]
        return drawn[..., 0], drawn[..., 1], pendulum


class PendulumEnv(PendulumWorld, gym.Env):
    """A pendulum that a motor too weak to lift it has to swing up and balance.

    With default parameters the same world as Gymnasium's `Pendulum-v1`, step for step. A step of 0.05 s costs
    angle^2 + 0.1 speed^2 + 0.001 torque^2 (the angle wrapped to [-pi, pi), 0 upright); the reward is minus that.
    Episodes start anywhere, up to 1 rad/s fast, and are truncated after 200 steps; they never terminate.

    | Observation | Unit | Min | Max |
    |---|---|---|---|
    | cosine of the angle, 1 upright | | -1 | 1 |
    | sine of the angle, positive counter-clockwise | | -1 | 1 |
    | speed, positive counter-clockwise; not with `observation="angle"` | rad/s | -8 | 8 |

    | Observation with `observation="pixels"`, (6, 32, 32) uint8 | Unit | Min | Max |
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
    | `max_torque` | 2 | N m |
    | `max_speed` | 8 | rad/s |
    | `dt`, time step | 0.05 | s |
    | `inertia`, "rod" or "point" | "rod" | |
    | `integrator`, "euler" (semi-implicit) or "rk4" | "euler" | |
    | `observation`, "state", "angle" or "pixels" | "state" | |
    | `num_torques` | 5 in the discrete world | |
    | `render_mode`, "human" or "rgb_array" | None | |

    Each number may be a range `(low, high)`, from which every episode draws anew; the drawn values are in `info`.

    Pixels show a red rod on white, its pivot in the middle, at the nearest of 4,096 angles (`envs.raster.frames`). Of
    the parameters only a length that is a range can be seen, as a share of the range's upper end.

    `reset` takes the options `x_init` and `y_init` (limits of the start's angle and speed, as Gymnasium's) and `state`
    (the exact angle and speed).

    Version history: v0, first.

    Raises:
        ValueError: for parameters no pendulum has, unknown options, actions not finite or of another shape.
        gymnasium.error.ResetNeeded: for a step before the first reset.
        gymnasium.error.ClosedEnvironmentError: for a step or reset after `close`.
    """

    def __init__(
        self,
        *,
        observation: Observation = "state",
        num_torques: int | None = None,
        render_mode: str | None = None,
        **parameters: Any,
    ):
        PendulumWorld.__init__(self, observation, num_torques, render_mode, parameters)
        self.observation_space, self.action_space = self.obs_space, self.act_space
        self.render_mode, self.viewer = render_mode, None
        self.angle = self.last_angle = self.speed = None
        self.last_torque, self.closed = 0.0, False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        if self.closed:
            raise ClosedEnvironmentError("the pendulum was closed; make a new one")
        super().reset(seed=seed)
        uniform = self.np_random.random(2 + len(self.pendulum.ranges))
        self.angle, self.speed, self.drawn = self.start(uniform, options)
        self.last_angle, self.last_torque = self.angle, 0.0
        if self.viewer is not None:
            self.viewer.restart()
        if self.render_mode == "human":
            self.render()
        info = {name: float(getattr(self.drawn, name)) for name in self.pendulum.ranges}
        return self.observe(), info

    def step(self, action: Any):
        if self.closed:
            raise ClosedEnvironmentError("the pendulum was closed; make a new one")
        if self.angle is None:
            raise ResetNeeded("the pendulum has no state yet; call reset before step")
        torque = self.torque(action, (), self.drawn)
        gain = float(reward(self.angle, self.speed, torque))
        self.last_angle = self.angle
        self.angle, self.speed = transition(self.angle, self.speed, torque, self.drawn)
        self.last_torque = float(torque)
        if self.render_mode == "human":
            self.render()
        return self.observe(), gain, False, False, {}

    def render(self) -> np.ndarray | None:
        """The frame as bytes (500, 500, 3) with `render_mode="rgb_array"`; with "human" it is in the window."""
        if self.render_mode is None:
            raise ValueError('render_mode: found None, expected "rgb_array" or "human" (a keyword of gymnasium.make)')
        if self.angle is None:
            raise ResetNeeded("the pendulum has no state yet; call reset before render")
        if self.viewer is None:
            from envs.viewer import Viewer

            self.viewer = Viewer(self.render_mode, self.metadata["render_fps"])
        longest = np.max(self.pendulum.length)
        pendulum = self.drawn
        return self.viewer.draw(
            float(self.angle),
            float(self.speed),  # type: ignore[arg-type]
            self.last_torque,
            float(pendulum.max_torque),  # type: ignore[arg-type]
            float(pendulum.length / longest),  # type: ignore[operator]
        )

    def close(self):
        if self.viewer is not None:
            self.viewer.close()
        self.closed = True


class PendulumVectorEnv(PendulumWorld, VectorEnv):
    """A batch of pendulums stepped as arrays; row i is `PendulumEnv` reset with its seed, episode after episode.

    Keywords as `PendulumEnv`, and `autoreset_mode`: how an episode's end and the next one's start follow each other (as
    in Gymnasium). A row's random numbers depend on its own seed alone. Observations and actions as in Gymnasium's
    vector environments: (n, O) or (n, 6, 32, 32), (n, 1) or (n,).
    """

    row_streams = True

    def __init__(
        self,
        num_envs: int = 1,
        *,
        max_episode_steps: int = 200,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        observation: Observation = "state",
        num_torques: int | None = None,
        render_mode: str | None = None,
        **parameters: Any,
    ):
        if isinstance(num_envs, bool) or not isinstance(num_envs, int | np.integer) or num_envs < 1:
            raise ValueError(f"num_envs: found {num_envs!r}, expected a whole number of at least 1")
        PendulumWorld.__init__(self, observation, num_torques, render_mode, parameters)
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = self.metadata | {"autoreset_mode": self.autoreset_mode}
        self.num_envs, self.max_episode_steps, self.render_mode = num_envs, max_episode_steps, render_mode
        self.single_observation_space, self.single_action_space = self.obs_space, self.act_space
        self.observation_space = batch_space(self.obs_space, num_envs)
        self.action_space = batch_space(self.act_space, num_envs)
        self.seeds: np.ndarray | None = None  # (n,) uint64
        self.drawn = self.pendulum
        self.no_ends = np.zeros(num_envs, np.bool_)
        self.row_state = ["angle", "speed", "steps", "episodes"] + ["last_angle"] * self.pixels

    def reset(self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None):
        if self.closed:
            raise ClosedEnvironmentError("the pendulums were closed; make new ones")
        options = dict(options or {})
        mask = options.pop("reset_mask", None)
        if mask is not None:
            mask = np.asarray(mask)
            if mask.shape != (self.num_envs,) or mask.dtype != np.bool_ or not mask.any():
                raise ValueError(
                    f"options: found reset_mask {mask!r}, expected {self.num_envs} booleans, not all false"
                )
        self._seed(seed)
        rows = np.arange(self.num_envs) if mask is None else np.flatnonzero(mask)
        info = self._start(rows, options)
        return self.observe(), info

    def step(self, actions: Any):
        if self.closed:
            raise ClosedEnvironmentError("the pendulums were closed; make new ones")
        if self.seeds is None:
            raise ResetNeeded("the pendulums have no state yet; call reset before step")
        torque = self.torque(actions, (self.num_envs,), self.drawn)
        rewards = reward(self.angle, self.speed, torque)
        self.last_angle = self.angle
        self.angle, self.speed = transition(self.angle, self.speed, torque, self.drawn)
        self.steps += 1
        self.oldest += 1
        if self.oldest < self.max_episode_steps:  # the usual step: no episode can end
            return self.observe(), rewards, self.no_ends.copy(), self.no_ends.copy(), {}
        return self._step_with_ends(rewards)

    def _step_with_ends(self, rewards: np.ndarray):
        """What differs between the autoreset modes: a step in which episodes end or, afterwards, begin."""
        info: dict[str, Any] = {}
        truncated = self.steps >= self.max_episode_steps
        if self.autoreset_mode is AutoresetMode.NEXT_STEP:
            begin = self.steps > self.max_episode_steps  # ended one step ago; this step only starts them anew
            if begin.any():
                info = self._start(np.flatnonzero(begin), {})
                rewards = np.where(begin, 0.0, rewards)
                truncated = truncated & ~begin
        elif self.autoreset_mode is AutoresetMode.SAME_STEP:
            if truncated.any():
                final = self.observe()
                info = {"final_obs": final, "_final_obs": truncated, "final_info": {}, "_final_info": truncated}
                info |= self._start(np.flatnonzero(truncated), {})
        elif (self.steps > self.max_episode_steps).any():
            raise ResetNeeded('an episode has ended; reset it with options={"reset_mask": ...}, autoreset is disabled')
        self.oldest = int(self.steps.max())
        return self.observe(), rewards, self.no_ends.copy(), truncated, info

    def _seed(self, seed: int | Sequence[int | None] | None) -> None:
        """New random streams for the rows that get a seed; for all of them before the first reset."""
        if seed is None and self.seeds is not None:
            return
        seeds = row_seeds(seed, self.num_envs)
        fresh = np.random.SeedSequence().generate_state(self.num_envs, np.uint64)
        if self.seeds is None:
            self.seeds, self.episodes = fresh.copy(), np.zeros(self.num_envs, np.int64)
            self.angle, self.last_angle, self.speed = np.zeros((3, self.num_envs))
            self.steps, self.oldest = np.zeros(self.num_envs, np.int64), 0
            self.generators: list[Any] = [None] * self.num_envs
            self.block = np.empty((self.num_envs, BLOCK, 2 + len(self.pendulum.ranges)))
            if self.pendulum.ranges:
                self.drawn = self.pendulum.at({name: np.ones(self.num_envs) for name in self.pendulum.ranges})
        for row, given in enumerate(seeds):
            if given is not None or self.generators[row] is None:
                self.seeds[row] = fresh[row] if given is None else given
                self.generators[row], self.episodes[row] = np_random(int(self.seeds[row]))[0], 0

    def _start(self, rows: np.ndarray, options: dict[str, Any]) -> dict[str, Any]:
        """Begin new episodes in these rows; the info of their reset."""
        offset = self.episodes[rows] % BLOCK
        for row in rows[offset == 0]:
            self.generators[row].random(out=self.block[row])
        self.episodes[rows] += 1
        angle, speed, drawn = self.start(self.block[rows, offset], options)
        self.angle, self.last_angle, self.speed = self.angle.copy(), self.last_angle.copy(), self.speed.copy()
        self.angle[rows], self.last_angle[rows], self.speed[rows], self.steps[rows] = angle, angle, speed, 0
        self.oldest = int(self.steps.max())
        if not self.pendulum.ranges:
            return {}
        mask, info = np.zeros(self.num_envs, np.bool_), {}
        mask[rows] = True
        values = {name: np.array(getattr(self.drawn, name)) for name in self.pendulum.ranges}
        for name, value in values.items():
            value[rows] = getattr(drawn, name)
            info |= {name: np.where(mask, value, 0.0), f"_{name}": mask}
        self.drawn = self.pendulum.at(values)
        return info

    def get_state(self) -> dict[str, np.ndarray]:
        """Everything that the next step depends on, random streams included."""
        if self.seeds is None:
            raise ResetNeeded("the pendulums have no state yet; call reset first")
        state = {name: getattr(self, name) for name in (*self.row_state, "seeds")}
        state |= {name: getattr(self.drawn, name) for name in self.pendulum.ranges}
        return {name: np.array(value) for name, value in state.items()}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        """Go on from what `get_state` returned, in another process too."""
        state = {name: np.array(value) for name, value in state.items()}
        self._seed([int(seed) for seed in state.pop("seeds")])
        for name in self.row_state:
            setattr(self, name, state.pop(name))
        self.oldest = int(self.steps.max())
        self.drawn = self.pendulum.at(state)
        # The current block of a row begins after all its earlier blocks; PCG64 jumps there.
        for row, episodes in enumerate(self.episodes):
            if episodes:
                self.generators[row].bit_generator.advance((int(episodes) - 1) // BLOCK * self.block[row].size)
                self.generators[row].random(out=self.block[row])
