"""Environments as a command line names them: an id, the module that registers it, and the keywords that they take."""

import difflib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import gymnasium as gym
import numpy as np
import tyro
from gymnasium.envs.registration import EnvSpec

import balancier
import envs  # noqa: F401  registers the pendulum
from agents.common.make_env import is_registered, make_env
from balancier import N_, one_line, shown
from envs.physics import Pendulum
from experiments.common.flags import UsageError, flag_name

Numbers = Annotated[tuple[float, ...] | None, tyro.conf.arg(metavar="X [HIGH]", help_behavior_hint="")]


@dataclass(frozen=True)
class PendulumFlags:
    """The pendulum itself: for each number one value, or two: then every episode draws its own from that range."""

    length: Numbers = None
    """m (default: 1)"""
    mass: Numbers = None
    """kg (default: 1)"""
    gravity: Numbers = None
    """m/s^2 (default: 10)"""
    damping: Numbers = None
    """Viscous friction, N m s (default: 0)"""
    friction: Numbers = None
    """Coulomb friction, N m (default: 0)"""
    max_torque: Numbers = None
    """Of the motor, N m (default: 2)"""
    max_speed: Numbers = None
    """rad/s (default: 8)"""
    dt: Numbers = None
    """One step, s (default: 0.05)"""
    torque_gain: Numbers = None
    """Torque of the motor over the torque of an action (default: 1)"""
    delay: Numbers = None
    """Time from an action to its torque, s (default: 0)"""
    angle_noise: Numbers = None
    """Standard deviation of the measured angle, rad (default: 0)"""
    speed_noise: Numbers = None
    """Standard deviation of the measured speed, rad/s (default: 0)"""
    inertia: Annotated[Literal["rod", "point"] | None, tyro.conf.arg(metavar="rod|point", help_behavior_hint="")] = None
    """Of a uniform rod, or of a point mass at its end (default: rod)"""
    integrator: Annotated[Literal["euler", "rk4"] | None, tyro.conf.arg(metavar="euler|rk4", help_behavior_hint="")] = (
        None
    )
    """Semi-implicit Euler, as in Gymnasium, or the more exact Runge-Kutta method (default: euler)"""
    num_torques: Annotated[int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="")] = None
    """How many evenly spaced torques there are to choose from (default: any torque; for dqn 5)"""


def pendulum_kwargs(flags: PendulumFlags) -> dict[str, Any]:
    """The keywords of a pendulum that were given; UsageError for one that no pendulum has."""
    given: dict[str, Any] = {}
    for field in fields(flags):
        value = getattr(flags, field.name)
        if isinstance(value, tuple):
            if len(value) not in (1, 2):
                found = " ".join(f"{number:g}" for number in value) or "nothing"
                raise UsageError(f"{flag_name(field.name)}: found {found}, expected a number, or a range: low high")
            value = value[0] if len(value) == 1 else list(value)
        if value is not None:
            given[field.name] = value
    try:
        Pendulum(**{name: value for name, value in given.items() if name != "num_torques"})
    except ValueError as error:
        name, _, words = str(error).partition(":")
        raise UsageError(f"{flag_name(name)}:{words}") from None
    if given.get("num_torques", 2) < 2:
        raise UsageError(f"--num-torques: found {given['num_torques']}, expected at least 2")
    return given


def is_pendulum(env: str, flag: str = "--env") -> bool:
    """Whether an id is one of our pendulums."""
    return find_env(env, flag).entry_point == "envs.pendulum:PendulumEnv"


def default_kwargs(env: str, flag: str = "--env") -> dict[str, Any]:
    """The keywords of an environment that are known without being given."""
    parameters = {"observation": "state"} | asdict(Pendulum()) if is_pendulum(env, flag) else {}
    return parameters | find_env(env, flag).kwargs


def find_env(env: str, flag: str = "--env") -> EnvSpec:
    """The specification of an id; of `module:Id` after the import of the module, which may be in the current folder.

    Where the module has not been imported, but the environment is registered with a class of it, nothing is imported.

    Raises UsageError, in one line, for a module that cannot be imported and for an id that nothing registers.
    """
    module, colon, env_id = env.rpartition(":")
    if colon and not (module and env_id):
        raise UsageError(f"{flag}: found {env!r}, expected module:Id, both of them")
    if module and (module in sys.modules or not is_registered(env)):
        import_module(module, flag)
    try:
        return gym.spec(env_id)
    except gym.error.Error as error:
        if module:
            raise UsageError(f"{flag}: found {env}, {expected_ids(module, env_id)}") from None
        words = " ".join(str(error).split())
        close = difflib.get_close_matches(env_id, gym.registry, 3)
        hint = f" Close to it: {', '.join(close)}." if close and "Did you mean" not in words else ""
        expected = "an id that Gymnasium knows, or module:Id, where the module registers it"
        raise UsageError(f"{flag}: found {shown(env)}, expected {expected} ({one_line(words)}{hint})") from None


def env_flag(env: str | None) -> str:
    """What a command that loads an agent of this environment needs, too: --env, where a module of others has it."""
    foreign = env is not None and ":" in env and not env.startswith("envs:")
    return f" --env {env}" if foreign else ""


def expected_ids(module: str, env_id: str) -> str:
    """The ids that a module registers, as the end of a message; and whether another file has the module's name."""
    imported = sys.modules[module]
    ids = [spec.id for spec in gym.registry.values() if registered_by(spec, module)]
    place = getattr(imported, "__file__", None)
    own = own_file(module)
    elsewhere = own is not None and place is not None and Path(place).resolve() != own.resolve()
    hint = f"; {own} is hidden by it: rename that" if elsewhere else ""
    close = difflib.get_close_matches(env_id, ids, MOST_IDS)
    known = (close + sorted(set(ids) - set(close)))[:MOST_IDS]
    words = ("one of " if len(ids) > 1 else "") + ", ".join(known) + (", ..." if len(ids) > MOST_IDS else "")
    found = f"{place or module} registers {len(ids) or 'no'} id{'' if len(ids) == 1 else 's'}"
    return f"expected {words or 'a module that registers it'} ({found}{hint})"


MOST_IDS = 8  # in a message
REGISTERED: dict[str, set[str]] = {}  # ids that appeared while a module was imported


def registered_by(spec: EnvSpec, module: str) -> bool:
    entry_point = spec.entry_point
    of_class = entry_point if isinstance(entry_point, str) else getattr(entry_point, "__module__", "")
    return spec.id in REGISTERED.get(module, ()) or f"{of_class.partition(':')[0]}.".startswith(f"{module}.")


def own_file(module: str) -> Path | None:
    """The file of the current folder that a module of this name would come from."""
    top = Path(module.partition(".")[0])
    files = (Path.cwd() / top / "__init__.py", Path.cwd() / f"{top}.py")
    return next((file for file in files if file.is_file()), None)


def import_module(name: str, flag: str = "--env") -> None:
    """Import a module, also from the current folder, which then is the last place where Python looks.

    Raises UsageError, in one line, for a module that is not there, or that fails.
    """
    if name == "__main__":
        raise UsageError(f"{flag}: found an environment that a script registered, expected it in a module of its own")
    if name.endswith(".py") or not all(part.isidentifier() for part in name.split(".")):
        expected = f"{Path(name).stem}:Id" if name.endswith(".py") else "module:Id, the module named as in an import"
        raise UsageError(f"{flag}: found module {name!r}, expected {expected}")
    folder, own = Path.cwd(), own_file(name)
    if own is not None:
        try:
            balancier.check_folder(folder)
        except ImportError as error:
            raise UsageError(f"{flag}: {error}") from None
    if str(folder) not in sys.path and not is_found(name.partition(".")[0]):
        sys.path.append(str(folder))  # last: no module there hides an installed one
        importlib.invalidate_caches()
    before = set(gym.registry)
    try:
        importlib.import_module(name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            looked = f"looked in {folder} and among the installed packages"
            raise UsageError(f"{flag}: found no module {error.name} ({looked}), expected it in one of them") from None
        raise UsageError(f"{flag}: found module {name}, which fails to be imported ({in_a_line(error)})") from None
    if new := set(gym.registry) - before:
        REGISTERED[name] = new


def is_found(top: str) -> bool:
    """Whether Python finds this module; a folder without __init__.py is none yet."""
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # imported, but without a specification
        return True
    return spec is not None and spec.origin is not None


def in_a_line(error: BaseException) -> str:
    """An error of foreign code: its kind, its words, and the line that it comes from."""
    words = one_line(error)
    frames = traceback.extract_tb(error.__traceback__)
    ours = (str(balancier.HOME), str(Path(gym.__file__).parent))
    frames = [frame for frame in frames if "importlib" not in frame.filename and not frame.filename.startswith(ours)]
    place = f", {frames[-1].filename}, line {frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {words}{'' if isinstance(error, SyntaxError) else place}"


def check_env(env: str, env_kwargs: dict[str, Any], flag: str = "--env") -> None:
    """Make one environment and step it once; UsageError, in one line, for one that fails.

    An error in a stranger's environment then comes before a run has begun, and with its place.
    """
    find_env(env, flag)
    keywords = f" with {in_words(env_kwargs)}" if env_kwargs else ""
    doing = "be made"
    try:
        single = make_env(env, env_kwargs)
        doing = "be reset"
        for name in ("observation_space", "action_space"):
            if not isinstance(getattr(single, name, None), gym.Space):
                raise ValueError(f"{name}: found {getattr(single, name, None)!r}, expected a space of Gymnasium")
        result = single.reset(seed=0)
        if not isinstance(result, tuple) or len(result) != 2:
            raise ValueError("reset: found a result that is no pair, expected observation and info")
        doing = "make a step"
        result = single.step(single.action_space.sample())
        if len(result) != 5:
            expected = "5: observation, reward, terminated, truncated, info"
            raise ValueError(f"step: found {len(result)} values, expected {expected}")
        shape, expected = np.shape(result[0]), single.observation_space.shape
        if expected is not None and shape != expected:
            raise ValueError(f"step: found an observation of shape {shape}, expected {expected}, its space's")
        single.close()
    except Exception as error:
        raise UsageError(f"{flag}: {env}{keywords} cannot {doing} ({in_a_line(error)})") from None


def in_words(env_kwargs: dict[str, Any], say: Callable[..., str] = str.format) -> str:
    """Keywords as in "length = 0.7, mass = 1 to 2"; in the user's language where `say` is `_`."""

    def value(x: Any) -> str:
        is_range = isinstance(x, list | tuple) and len(x) == 2 and all(isinstance(end, int | float) for end in x)
        return say(N_("{low:g} to {high:g}"), low=x[0], high=x[1]) if is_range else one_line(x)

    return ", ".join(f"{name} = {value(x)}" for name, x in env_kwargs.items())
