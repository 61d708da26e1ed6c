"""The file of a sweep, in TOML: what it says, and the one line, with its place in the file, about what it must not say.

agents = ["ppo"]
envs = ["CartPole-v1"]
seeds = 4
seed_block = 2                     # seeds that train together, in one job
[grid]                             # or [random] with num_samples, or [optuna] with num_trials
learning_rate = [1e-3, 3e-3]
"""

import contextlib
import dataclasses
import difflib
import itertools
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

import balancier
from agents import AGENTS
from agents.common.config import make_config
from agents.common.make_env import plain_keywords
from balancier import Bound, number, one_line, one_of, shown, whole
from experiments.common.assignments import WIDTHS, with_widths
from experiments.common.environments import check_env
from experiments.common.flags import MOST_OF, UsageError
from experiments.common.hyperparams import NETWORKS, tuned
from experiments.common.training import budget, make

Setting = dict[str, Any]  # hyper-parameters, the network and its widths, and "env.NAME" of the environment's parameters
METHODS = {"grid": None, "random": "num_samples", "optuna": "num_trials"}  # and the field that says how many
ENV = "env."
MOST_MADE = 200  # settings whose agents are made before the first job, to see that they can be

NAMES = Bound(lambda x: isinstance(x, list) and len(x) > 0 and all(isinstance(y, str) for y in x), "a list of names")
FIELDS: dict[str, tuple[Any, Bound]] = {  # of the file: default and bound
    "agents": (None, NAMES),
    "envs": (None, NAMES),
    "steps": (None, whole(1)),
    "seeds": (10, whole(1, MOST_OF["seeds"])),
    "seed": (0, whole(0)),
    "seed_block": (10, whole(1)),
    "eval_episodes": (100, whole(1, MOST_OF["eval_episodes"])),
    "evaluations": (20, whole(1, 10_000)),
    "network": ("mlp", one_of(NETWORKS)),
}
OF_METHODS: dict[str, dict[str, tuple[Any, Bound]]] = {
    "grid": {},
    "random": {"num_samples": (None, whole(1, 100_000)), "sampling_seed": (0, whole(0, 2**32 - 1))},
    "optuna": {
        "num_trials": (None, whole(1, 100_000)),
        "sampling_seed": (0, whole(0, 2**32 - 1)),
        "trials_at_once": (4, whole(1, 1_000)),
        "prune": (True, balancier.SWITCH),
    },
}


@dataclass(frozen=True)
class Space:
    """What a field may be: some values, or all from `low` to `high`."""

    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False  # evenly in the logarithm

    @property
    def is_whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def examples(self) -> tuple[Any, ...]:
        return self.values or (self.low, self.high)

    def sample(self, rng: np.random.Generator) -> Any:
        if self.values:
            return self.values[int(rng.integers(len(self.values)))]
        if self.is_whole and not self.log:
            return int(rng.integers(int(self.low), int(self.high) + 1))
        share = rng.random()
        value = self.low + share * (self.high - self.low)
        if self.log:
            value = float(self.low * (self.high / self.low) ** share)
        return round(value) if self.is_whole else rounded(value)


def rounded(value: float) -> float:
    """Six digits are enough for a setting, and can be read and typed."""
    return float(f"{value:.6g}")


@dataclass(frozen=True)
class Plan:
    """A sweep: agents x environments x settings x blocks of seeds."""

    name: str  # of the file
    text: str
    agents: tuple[str, ...]
    envs: tuple[str, ...]
    steps: int | None
    seeds: int
    seed: int
    seed_block: int
    eval_episodes: int
    evaluations: int
    network: str
    method: str
    options: dict[str, Any]  # of the method
    fixed: Setting
    spaces: dict[str, Space]

    @property
    def all_seeds(self) -> tuple[int, ...]:
        return tuple(range(self.seed, self.seed + self.seeds))

    @property
    def blocks(self) -> list[tuple[int, ...]]:
        seeds = self.all_seeds
        return [seeds[i : i + self.seed_block] for i in range(0, len(seeds), self.seed_block)]

    @property
    def count(self) -> int:
        """Settings of each agent in each environment."""
        if self.method == "grid":
            return int(np.prod([len(space.values) for space in self.spaces.values()]))
        return self.options[str(METHODS[self.method])]

    def settings(self) -> list[Setting]:
        """Those of a grid, the last field changing fastest, or of a random sample; with Optuna, two examples."""
        if self.method == "grid":
            values = itertools.product(*(space.values for space in self.spaces.values()))
            return [dict(zip(self.spaces, each, strict=True)) for each in values]
        if self.method == "random":
            rng = np.random.default_rng(self.options["sampling_seed"])
            return [{name: space.sample(rng) for name, space in self.spaces.items()} for _ in range(self.count)]
        return [{name: space.examples[i] for name, space in self.spaces.items()} for i in (0, -1)]

    def steps_of(self, agent: str, env: str) -> int:
        return budget(agent, env, self.steps, quick=False)


# Reading


@dataclass(frozen=True)
class Source:
    """The text of a file, and where its fields stand."""

    name: str
    text: str
    lines: dict[str, int] = field(default_factory=dict)

    def refuse(self, name: str, words: str) -> NoReturn:
        """Raise UsageError for a field, with its line, or that of the table that it is in."""
        place = name
        while place and place not in self.lines:
            place = place.rpartition(".")[0]
        line = f", line {self.lines[place]}" if place else ""
        raise UsageError(f"{self.name}{line}: {name}: {words}")


def read(path: Path) -> Plan:
    """The plan that a file holds; UsageError, in one line with the place, for a file that holds none."""
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{path}: found bytes that are no UTF-8, expected TOML") from None
    except OSError as error:
        raise UsageError(f"{path}: found no file to read ({error.strerror}), expected a sweep in TOML") from None
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        message = one_line(error)
        place = re.search(r"at line (\d+), column \d+|at end of document", message)
        line = f", line {place[1] or len(text.splitlines())}" if place else ""
        words = message.replace(f" ({place[0]})", "") if place else message
        raise UsageError(f"{path}{line}: found what is no TOML ({words}), expected a sweep in TOML") from None
    source = Source(str(path), text, lines_of(text))
    plan = plan_of(source, content)
    check_agents(source, plan)
    return plan


KEY = r"""(?:[\w-]+|"[^"\n]*"|'[^'\n]*')"""


def lines_of(text: str) -> dict[str, int]:
    """The line of each table and field, by its name: "grid.learning_rate"."""
    lines, table = {}, ""
    for count, line in enumerate(text.splitlines(), 1):
        if head := re.match(rf"\s*\[\s*({KEY}(?:\s*\.\s*{KEY})*)\s*\]", line):
            table = re.sub(r"""["'\s]""", "", head[1])
            lines.setdefault(table, count)
        elif key := re.match(rf"\s*({KEY}(?:\s*\.\s*{KEY})*)\s*=", line):
            name = re.sub(r"""["'\s]""", "", key[1])
            lines.setdefault(f"{table}.{name}" if table else name, count)
    return lines


def plan_of(source: Source, content: dict[str, Any]) -> Plan:
    """The plan, every field of which has been checked alone."""
    tables = {name: content.pop(name) for name in ("settings", *METHODS) if name in content}
    values = fields(source, "", content, FIELDS, {*FIELDS, "settings", *METHODS})
    for name in ("agents", "envs"):
        if values[name] is None:
            source.refuse(name, f"found none, expected {NAMES.words}, such as {name} = [{EXAMPLES[name]}]")
        for one in values[name]:
            if values[name].count(one) > 1:
                source.refuse(name, f"found {one} twice, expected different ones")
    for agent in values["agents"]:
        if agent not in AGENTS:
            source.refuse("agents", f"found {shown(agent)}, expected one of {', '.join(AGENTS)}")
    methods = [name for name in METHODS if name in tables]
    if len(methods) != 1:
        source.refuse(methods[-1] if methods else "grid", f"found {' and '.join(methods) or 'none'}, {ONE_METHOD}")
    method = methods[0]
    for name, table in tables.items():
        if not isinstance(table, dict):
            source.refuse(name, f"found {shown(table)}, expected a table, [{name}]")
    known = OF_METHODS[method]
    table = flat(tables[method])
    options = fields(source, f"{method}.", {name: table.pop(name) for name in known if name in table}, known, set())
    count = METHODS[method]
    if count and options[count] is None:
        source.refuse(f"{method}.{count}", "found none, expected how many settings to try")
    fixed = flat(tables.get("settings", {}))
    if not table:
        source.refuse(method, "found no field, expected at least one, such as learning_rate = [1e-3, 3e-3]")
    agents, network = values["agents"], values["network"]
    for name, value in fixed.items():
        fixed[name] = checked(source, f"settings.{name}", name, value, agents)
    spaces = {}
    for name, value in table.items():
        if name in fixed:
            source.refuse(f"{method}.{name}", "found in [settings], too, expected it once")
        spaces[name] = space_of(source, f"{method}.{name}", name, value, agents, method)
    names = {name for name in (*fixed, *spaces) if name in WIDTHS}
    kinds = spaces["network"].values if "network" in spaces else (fixed.get("network", network),)
    for name in names:
        for kind in kinds:
            if kind not in WIDTHS[name]:
                place = f"settings.{name}" if name in fixed else f"{method}.{name}"
                source.refuse(place, f"found it with the network {kind}, expected {' or '.join(WIDTHS[name])}")
    listed = {name: tuple(values.pop(name)) for name in ("agents", "envs")}
    return Plan(
        source.name, source.text, **listed, **values, method=method, options=options, fixed=fixed, spaces=spaces
    )


EXAMPLES = {"agents": '"ppo"', "envs": '"CartPole-v1"'}
ONE_METHOD = "expected one of the tables [grid], [random], [optuna]"


def flat(table: Any, prefix: str = "") -> dict[str, Any]:
    """A table whose `env.length` may stand as one key, or as a table in a table."""
    content: dict[str, Any] = {}
    for name, value in table.items():
        inner = isinstance(value, dict) and name == ENV.rstrip(".") and not prefix
        content |= flat(value, ENV) if inner else {prefix + name: value}
    return content


def fields(
    source: Source, prefix: str, content: dict[str, Any], known: dict[str, tuple[Any, Bound]], names: set[str]
) -> dict[str, Any]:
    """The value of each field, or its default; UsageError for a field of another name, or out of its bound."""
    for name, value in content.items():
        if name not in known:
            source.refuse(prefix + name, f"found no such field, expected {close_to(name, sorted(names))}")
        bound = known[name][1]
        if isinstance(value, float) and value.is_integer() and bound.holds(int(value)) and not bound.holds(value):
            content[name] = value = int(value)  # 1e6
        if not bound.holds(value):
            source.refuse(prefix + name, balancier.out_of_bound(name, value, bound).partition(": ")[2])
    return {name: content.get(name, default) for name, (default, _) in known.items()}


def close_to(name: str, names: Sequence[str]) -> str:
    return " or ".join(difflib.get_close_matches(name, names, 2) or [f"one of {', '.join(names)}"])


def checked(source: Source, place: str, name: str, value: Any, agents: Sequence[str]) -> Any:
    """A value of a hyper-parameter, the network, or the environment; UsageError for what none of them may be."""
    if name.startswith(ENV):
        try:
            return plain_keywords({name.removeprefix(ENV): value}, "env")[name.removeprefix(ENV)]
        except ValueError as error:
            source.refuse(place, one_line(error))
    if name == "network":
        if value not in list(NETWORKS):
            source.refuse(place, f"found {shown(value)}, expected one of {', '.join(NETWORKS)}")
        return value
    if name in WIDTHS:
        several = name != "hidden_size"
        bound = whole(1, 100_000)
        if not (isinstance(value, list) and value and all(map(bound.holds, value)) if several else bound.holds(value)):
            source.refuse(place, f"found {shown(value)}, expected {'[64, 64] or the like' if several else bound.words}")
        return value
    for agent in agents:
        known = [each.name for each in dataclasses.fields(AGENTS[agent].Config)]
        if name not in known:
            close = difflib.get_close_matches(name, [*known, *WIDTHS, "network"], 2)
            having = [other for other, kind in AGENTS.items() if hasattr(kind.Config, name)]
            all_names = f"one of {', '.join([*known, 'network', *WIDTHS])}, or env.NAME of the environment's parameters"
            expected = " or ".join(close) or (f"it with {' or '.join(having)} alone" if having else all_names)
            source.refuse(place, f"found no such field of {agent}, expected {expected}")
        if isinstance(value, list):
            source.refuse(place, f"found {shown(value)}, expected one number (of [grid], a list of such)")
        if isinstance(value, float) and value.is_integer() and holds(agent, name, int(value)):
            value = value if holds(agent, name, value) else int(value)  # 1e6 where a whole number belongs
        try:
            make_config(AGENTS[agent].Config, 1, {name: value})
        except ValueError as error:
            source.refuse(place, str(error).removeprefix(f"{name}: "))
    return value


def holds(agent: str, name: str, value: Any) -> bool:
    try:
        make_config(AGENTS[agent].Config, 1, {name: value})
    except ValueError:
        return False
    return True


def space_of(source: Source, place: str, name: str, value: Any, agents: Sequence[str], method: str) -> Space:
    """What is to be tried of a field: a list of values, or (not in a grid) { low = 1e-4, high = 1e-2, log = true }."""
    if isinstance(value, list):
        if not value:
            source.refuse(place, "found an empty list, expected the values to try")
        values = [checked(source, place, name, each, agents) for each in value]
        if any(each in values[:i] for i, each in enumerate(values)):
            source.refuse(place, f"found {shown(value)}, expected different values")
        return Space(tuple(values))
    range_words = "" if method == "grid" else ", or a range: { low = 1e-4, high = 1e-2, log = true }"
    if not isinstance(value, dict) or method == "grid":
        source.refuse(place, f"found {shown(value)}, expected a list of values to try{range_words}")
    if not {"low", "high"} <= value.keys() <= {"low", "high", "log"}:
        source.refuse(place, f"found {shown(value)}, expected low and high, and perhaps log = true")
    low, high, log = value["low"], value["high"], value.get("log", False)
    if not all(map(number(-balancier.LARGEST).holds, (low, high))) or low >= high:
        source.refuse(place, f"found low = {shown(low)} and high = {shown(high)}, expected numbers, low below high")
    if not isinstance(log, bool) or (log and low <= 0):
        source.refuse(
            place, f"found log = {shown(log)} with low = {low}, expected true or false, and true above 0 only"
        )
    if name in WIDTHS or name == "network":
        source.refuse(place, f"found a range, expected a list of values to try of {name}")
    low, high = (checked(source, place, name, end, agents) for end in (low, high))
    return Space((), low, high, log)


# Agents


def keywords_of(plan: Plan, agent: str, env: str, setting: Setting) -> tuple[str, dict[str, Any]]:
    """The network and the keywords of an agent: tuned for the environment, but for what the file says."""
    given = plan.fixed | setting
    env_kwargs = {name.removeprefix(ENV): given.pop(name) for name in list(given) if name.startswith(ENV)}
    network = given.pop("network", plan.network)
    keywords = tuned(agent, env, network)
    widths = {name: given.pop(name, None) for name in WIDTHS}
    if any(value is not None for value in widths.values()):
        usual = keywords.get("network", NETWORKS[network][1])
        keywords |= {"network": with_widths(network, usual, widths)}
    return network, keywords | given | ({"env_kwargs": env_kwargs} if env_kwargs else {})


def check_agents(source: Source, plan: Plan) -> None:
    """Make the agents, with one seed each; UsageError for one that cannot be, with the place of what is wrong."""
    for env in plan.envs:
        with placed(source, plan, "envs"):
            check_env(env, {}, "envs")
        for agent in plan.agents:
            with placed(source, plan, "agents"):
                make(agent, env, [plan.seed], tuned(agent, env))
            for setting in plan.settings()[:MOST_MADE]:
                with placed(source, plan, plan.method):
                    network, keywords = keywords_of(plan, agent, env, setting)
                    make(agent, env, [plan.seed], keywords, network)


@contextlib.contextmanager
def placed(source: Source, plan: Plan, place: str) -> Iterator[None]:
    """A check, whose error is told with its place in the file: that of a field that it names, else `place`."""
    try:
        yield
    except UsageError as error:
        words = re.sub(r"^(--)?(envs?|network):? ?", "", str(error))
        for table, names in (("settings", plan.fixed), (plan.method, plan.spaces)):
            for name in names:
                if place == plan.method and re.search(rf"\b{name.removeprefix(ENV)}\b", words):
                    source.refuse(f"{table}.{name}", words)
        source.refuse(place, words)
