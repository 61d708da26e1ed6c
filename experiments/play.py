"""Swing it up yourself: the motor is too weak to lift the pendulum, so it takes a swing. Your score stands beside the
optimum's and, if you name a run, a trained agent's, from the same start. Arrow keys push the bob, A and D turn it, the
mouse pulls it, the stick of a gamepad pushes; ? shows all keys.

balancier play

balancier play runs/train/latest --ghosts

balancier play --challenge
"""

import contextlib
import io
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import gymnasium as gym
import numpy as np
import tyro
from matplotlib.figure import Figure

import balancier
from agents.evaluation import VALIDATION_SEED, evaluate
from balancier import N_, _
from envs.optimum import PENDULUM_V1, Optimum
from envs.scene import Field, Ghost, Scene, scene_of, seen_of
from envs.viewer import Commands, Window
from experiments.common import plotting
from experiments.common.command import run_command
from experiments.common.environments import PendulumFlags, find_env, is_pendulum, pendulum_kwargs
from experiments.common.flags import UsageError, above, at_least, flag_name
from experiments.common.foreign_play import open_foreign, play_foreign
from experiments.common.players import OPTIMUM, optimum_of, our_pendulum
from experiments.common.recording import need_display
from experiments.common.runs import console
from experiments.common.trained import load
from experiments.train import shown

ROUNDS = 5  # starts of a challenge
LOOK = 1 / 30  # s between two looks at the keys while the pendulum waits
PAUSE = 1.5  # s after an episode, to see how it ended
GAP = "   "  # between the returns in a line
KEYS = {
    "restart": _("the same start again"),
    "hanging": _("hanging start"),
    "push": _("push the bob"),
    "turn": _("turn left, turn right"),
    "drag": _("pull the bob to the pointer"),
}
YOU, AGENT = N_("you"), N_("agent")  # in returns, beside OPTIMUM
PanelName = Literal["motion", "phase", "score", "seen"]


@dataclass(frozen=True)
class Play:
    """Swing the pendulum up yourself."""

    run: Annotated[Path | None, tyro.conf.Positional, shown("RUN")] = None
    """Folder of a run of balancier train, or a checkpoint: you play its pendulum beside its agent. (default: none)"""
    env: Annotated[str | None, shown("ID")] = None
    """Another environment; those that are no pendulum need get_keys_to_action. (default: balancier/Pendulum-v0)"""
    replica: Annotated[int, at_least(0)] = 0
    """Index of the run's seed that you play beside; 0 is the first."""
    challenge: bool = False
    """Five starts, and a card with your result."""
    card: Path | None = None
    """PNG file of the challenge's card (default: balancier-card-TIME.png)."""
    start: Annotated[Literal["hanging", "random"] | None, shown("hanging|random")] = None
    """Where an episode starts. (default: hanging; in a challenge, random)"""
    seed: Annotated[int, at_least(0)] = 0
    """Which random starts; the same seed is the same challenge."""
    episodes: Annotated[int | None, at_least(1)] = None
    """How many (default: until the window is closed)."""
    ghosts: bool = False
    """Draw the optimum and the agent, too."""
    alone: bool = False
    """No optimum beside you; it takes up to a minute to compute for a pendulum that is new."""
    speed: Annotated[float, above(0)] = 1.0
    """Seconds of the pendulum in one second; 0.5 is easier."""
    theme: Literal["light", "dark"] = "light"
    """Colors of the window."""
    panels: tuple[PanelName, ...] = ()
    """What is shown beside the pendulum."""
    pendulum: Annotated[PendulumFlags, tyro.conf.OmitArgPrefixes] = field(default_factory=PendulumFlags)
    """The pendulum itself: for each number one value, or two: then every episode draws its own from that range."""


@dataclass
class Rival:
    """A policy on its own copy of the pendulum, beside the person."""

    name: str
    model: Any  # with SB3's predict
    env: gym.Env
    total: float = 0.0
    obs: Any = None
    memory: Any = None
    first: bool = True

    def reset(self, seed: int, options: dict[str, Any] | None) -> None:
        self.obs, _ = self.env.reset(seed=seed, options=options)
        self.total, self.memory, self.first = 0.0, None, True

    def step(self) -> None:
        action, self.memory = self.model.predict(self.obs, self.memory, np.array([self.first]))
        self.obs, reward, *_ = self.env.step(action)
        self.total, self.first = self.total + float(reward), False


@dataclass(frozen=True)
class Round:
    """The returns from one start, by name."""

    returns: dict[str, float]


@dataclass
class Game:
    """What the rounds share."""

    env: gym.Env
    rivals: list[Rival]
    window: Window
    flags: Play
    value: Field | None  # of the optimum, behind the phase portrait
    rounds: list[Round] = field(default_factory=list)


class Quit(Exception):
    """The window was closed."""


def play(flags: Play) -> None:
    env_id, kwargs, agent = opponent(flags)
    if not is_pendulum_like(env_id):
        return play_another(env_id, kwargs, agent, flags)
    need_display()
    env_id, kwargs = our_pendulum(env_id, kwargs)
    rivals = [] if flags.alone else best_rival(env_id, kwargs)
    value = value_of(rivals[0].model) if rivals else None
    if agent is not None:
        rivals.append(Rival(AGENT, agent, gym.make(find_env(env_id), disable_env_checker=True, **kwargs)))
    drawn: dict[str, Any] = kwargs | {"render_mode": "rgb_array"}
    env = gym.make(find_env(env_id), disable_env_checker=True, **drawn)
    keys = {name: words for name, words in KEYS.items() if not flags.challenge or name not in ("restart", "hanging")}
    window = Window(
        _("Balancier: play"), theme=flags.theme, panels=flags.panels, handles=keys, gamepad=True, speed=flags.speed
    )
    game = Game(env, rivals, window, flags, value)
    count = ROUNDS if flags.challenge else flags.episodes
    try:
        while count is None or len(game.rounds) < count:
            game.rounds.append(play_round(game, len(game.rounds)))
            start, returns = title(game, len(game.rounds) - 1), words_of(game.rounds[-1].returns)
            console.print(_("{start}: {returns}", start=start, returns=returns), highlight=False)
    except Quit:
        pass
    finally:
        window.close()
    if flags.challenge:
        finish(game.rounds, flags.card)


def play_another(env_id: str, kwargs: dict[str, Any], agent: Any, flags: Play) -> None:
    """An environment that is no pendulum; the agent's return is printed, for it has no ghost."""
    given = {"challenge": flags.challenge, "ghosts": flags.ghosts, "start": flags.start, "panels": flags.panels}
    for name, value in given.items():
        if value:
            raise UsageError(f"{flag_name(name)}: found with {env_id}, expected one of our pendulums")
    env, actions = open_foreign(env_id, kwargs, "--env" if flags.run is None else "run")
    need_display()

    def returns(start: int) -> str:
        if agent is None:
            return ""
        return GAP + _("agent {value:.1f}", value=evaluate(agent, env_id, [start], kwargs)[0, 0])

    options: dict[str, Any] = {"speed": flags.speed, "seed": flags.seed, "episodes": flags.episodes}
    play_foreign(env, actions, title=env_id, returns=returns, **options)


def opponent(flags: Play) -> tuple[str, dict[str, Any], Any]:
    """The environment's id and keywords, and the agent that plays, too, or None."""
    given = pendulum_kwargs(flags.pendulum)
    if flags.card is not None and not flags.challenge:
        raise UsageError(f"--card: found {flags.card} without --challenge, expected both")
    if flags.card is not None and (flags.card.is_dir() or not flags.card.resolve().parent.is_dir()):
        raise UsageError(f"--card: found {flags.card}, expected a file in a folder that exists")
    if flags.challenge and flags.episodes is not None:
        raise UsageError(f"--episodes: found {flags.episodes} with --challenge, expected none: it has {ROUNDS}")
    if flags.run is None:
        env_id = flags.env or "balancier/Pendulum-v0"
        if given and not is_pendulum(env_id):
            raise UsageError(f"{flag_name(next(iter(given)))}: found with {env_id}, expected one of our pendulums")
        if find_env(env_id).additional_wrappers and is_pendulum_like(env_id):
            raise UsageError(f"--env: found {env_id}, a pendulum in wrappers, expected one without")
        if flags.replica:
            raise UsageError(f"--replica: found {flags.replica} without a run, expected a run, too")
        return env_id, given, None
    if given:
        raise UsageError(f"{flag_name(next(iter(given)))}: found with a run, expected none: it has its own pendulum")
    agent = load(flags.run, "run", flags.env)
    if flags.replica >= len(agent):
        raise UsageError(f"--replica: found {flags.replica}, expected 0 to {len(agent) - 1}")
    assert agent.env_id is not None
    if find_env(agent.env_id, "run").additional_wrappers and is_pendulum_like(agent.env_id):
        raise UsageError(f"run: found {agent.env_id}, a pendulum in wrappers, expected one without")
    return agent.env_id, dict(agent.env_kwargs), agent[flags.replica]


def is_pendulum_like(env_id: str) -> bool:
    """Whether it is one of our pendulums, or Gymnasium's."""
    return is_pendulum(env_id) or find_env(env_id).entry_point == PENDULUM_V1


def best_rival(env_id: str, kwargs: dict[str, Any]) -> list[Rival]:
    """The optimum of this pendulum; none where it is not known."""
    own = {name: value for name, value in kwargs.items() if name not in ("observation", "size")}
    env = gym.make(find_env(env_id), disable_env_checker=True, **own)
    try:
        return [Rival(OPTIMUM, optimum_of(env), env)]
    except ValueError as error:
        console.print(_("no optimum beside you: {reason}", reason=_(str(error))), highlight=False)
        return []


def value_of(best: Optimum) -> Field:
    """The highest return from each angle and speed, with the whole episode left."""
    return Field(best.tables[-1].T, _("highest return"), float(best.pendulum.max_speed))  # type: ignore[arg-type]


def start_of(flags: Play, index: int) -> tuple[int, dict[str, Any] | None]:
    """Seed and options of a round's `reset`."""
    kind = flags.start or ("random" if flags.challenge else "hanging")
    return VALIDATION_SEED + flags.seed + index, {"state": (np.pi, 0.0)} if kind == "hanging" else None


def title(game: Game, index: int) -> str:
    if game.flags.challenge:
        return _("start {number} of {count}", number=index + 1, count=ROUNDS)
    return _("episode {number}", number=index + 1)


def play_round(game: Game, index: int) -> Round:
    """One episode, from the first push on; Quit if the window is closed."""
    env, window = game.env, game.window
    pendulum: Any = env.unwrapped
    seed, options = start_of(game.flags, index)
    while True:
        obs, __ = env.reset(seed=seed, options=options)
        for rival in game.rivals:
            rival.reset(seed, options)
        total, over, idle = 0.0, False, 0
        window.show([scene(game, index, obs, _("push to begin"))])
        commands = wait_for_push(game, scene(game, index, obs, _("push to begin")))
        while not over and not (commands.restart or commands.hanging):
            action, idle = action_of(pendulum, share_of(commands, pendulum.angle), idle)
            obs, reward, terminated, truncated, __ = env.step(action)
            total, over = total + float(reward), terminated or truncated
            for rival in game.rivals:
                rival.step()
            returns = {YOU: total} | {rival.name: rival.total for rival in game.rivals}
            commands = look(game, scene(game, index, obs, words_of(returns)), float(pendulum.drawn.dt))
        if commands.hanging:
            options = {"state": (np.pi, 0.0)}
        if over:
            with contextlib.suppress(Quit):  # the episode counts; the next look at the window says it again
                for __ in range(round(PAUSE / LOOK)):
                    look(game, scene(game, index, obs, words_of(returns)), LOOK * window.speed)
            return Round(returns)


def look(game: Game, shown: Scene, seconds: float) -> Commands:
    commands = game.window.show([shown], seconds)
    if commands.closed:
        raise Quit
    return commands


def wait_for_push(game: Game, shown: Scene) -> Commands:
    """Until a person pushes, turns or pulls; whoever still does from before has to let go first."""
    let_go = False
    while True:
        commands = look(game, shown, LOOK * game.window.speed)
        pushed = commands.push != (0.0, 0.0) or commands.turn != 0.0 or commands.drag is not None
        if (pushed and let_go) or commands.restart or commands.hanging:
            return commands
        let_go = let_go or not pushed


def share_of(commands: Commands, angle: float) -> float:
    """The torque that a person wants, from -1 to 1; the pointer pulls with all of it from half a radian on."""
    if commands.drag is not None:
        return float(np.clip(2 * math.remainder(commands.drag[1] - angle, 2 * math.pi), -1, 1))
    return commands.torque_share(angle)


def action_of(pendulum: Any, share: float, idle: int) -> tuple[Any, int]:
    """The action of a torque; of an even number of torques, where none is 0, two take turns while nobody pushes."""
    if pendulum.num_torques is None:
        return np.array([share * float(np.max(pendulum.pendulum.max_torque))], np.float32), idle
    place = (share + 1) / 2 * (pendulum.num_torques - 1)
    if place % 1 == 0.5:
        return np.int64(place + (0.5 if idle % 2 else -0.5)), idle + 1
    return np.int64(round(place)), idle


def scene(game: Game, index: int, obs: np.ndarray, note: str) -> Scene:
    pendulum: Any = game.env.unwrapped
    drawn = scene_of(pendulum, pendulum.track, title=title(game, index), episode=index + 1, note=note)
    if game.flags.ghosts:
        ghosts = [
            Ghost(float(rival.env.unwrapped.angle), words_of({rival.name: rival.total}), color=color)  # type: ignore[attr-defined]
            for color, rival in enumerate(game.rivals)
        ]
        # The returns of the others stand beside their names.
        drawn = replace(drawn, ghosts=ghosts, note=note.partition(GAP)[0])
    return replace(drawn, seen=seen_of(pendulum, obs), field=game.value)


def words_of(returns: dict[str, float]) -> str:
    return GAP.join(f"{_(name)} {value:.0f}" for name, value in returns.items())


def finish(rounds: Sequence[Round], card: Path | None) -> None:
    """Write the card of a complete challenge, and say the result."""
    if len(rounds) < ROUNDS:
        words = _("the challenge ended after {done} of {count} starts: no card", done=len(rounds), count=ROUNDS)
        return console.print(words, highlight=False)
    path = card or Path(f"balancier-card-{datetime.now():%Y%m%d-%H%M%S}.png")
    content = io.BytesIO()
    figure = card_figure(rounds)
    plotting.localize(figure)
    figure.savefig(content, format="png")
    balancier.write_file(path, content.getvalue())
    console.print(_("{verdict}; {path}", verdict=verdict(rounds), path=path), highlight=False)


def verdict(rounds: Sequence[Round]) -> str:
    """The result in a sentence."""
    means = {name: np.mean([each.returns[name] for each in rounds]) for name in rounds[0].returns}
    if OPTIMUM not in means:
        return _("your mean return is {mean:.0f}", mean=means[YOU])
    missing = means[OPTIMUM] - means[YOU]
    return _("your mean return is {mean:.0f}, {missing:.0f} below the optimum", mean=means[YOU], missing=missing)


def card_figure(rounds: Sequence[Round]) -> Figure:
    """The result card: a bar for each start and player."""
    figure, (axes,) = plotting.slide(_("Swing-up challenge: {verdict}", verdict=verdict(rounds)))
    names = list(rounds[0].returns)
    width = 0.8 / len(names)
    for i, (name, color) in enumerate(zip(names, (plotting.ORANGE, plotting.BLUE, plotting.PURPLE), strict=False)):
        values = [each.returns[name] for each in rounds]
        places = np.arange(len(rounds)) + (i - (len(names) - 1) / 2) * width
        bars = axes.bar(places, values, width * 0.92, color=color, label=_(name))
        axes.bar_label(bars, fmt="%.0f", fontsize=14, padding=3)
    axes.set_xticks(range(len(rounds)), [_("start {number}", number=i + 1) for i in range(len(rounds))])
    axes.set_ylabel(_("return (0 is perfect)"))
    axes.margins(y=0.12)
    figure.legend(loc="outside lower center", ncols=len(names))
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    return run_command("play", Play, play, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
