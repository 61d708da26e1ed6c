"""What users of Stable-Baselines3 (SB3) write, and what it is called here.

One source for error messages and for the tables of docs/stable-baselines3.md, which a test compares with SB3's own
signatures. Nothing here runs unless a call cannot be understood.
"""

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import gymnasium as gym

import balancier

ON_POLICY, OFF_POLICY, ALL = "PPO A2C", "DQN SAC TD3", "PPO A2C DQN SAC TD3"
NO_SDE = "nothing (there is no state-dependent exploration)"
HELD = "nothing (there is no state-dependent exploration; `noise_every` holds the exploration noise)"

# Each keyword of SB3's constructors, by agent: "the same", our name in backticks, or nothing and what to do instead.
# {value} is what the user gave.
CONSTRUCTOR: dict[str, dict[str, str]] = {
    "policy": {ALL: "nothing (`env` comes first, and `network` makes the networks)"},
    "env": {ALL: "the same (an id, or a function that makes an environment)"},
    "n_envs": {ALL: "`num_envs` (environments of each seed)"},
    "learning_rate": {ALL: "the same (instead of a schedule, `anneal_steps` lets it fall linearly)"},
    "n_steps": {ON_POLICY: "`num_steps`", OFF_POLICY: "`n_step`"},
    "batch_size": {"PPO DQN SAC TD3": "the same"},
    "n_epochs": {"PPO": "`num_epochs`"},
    "gamma": {ALL: "the same"},
    "gae_lambda": {ON_POLICY: "the same"},
    "clip_range": {"PPO": "the same (it falls with the learning rate, by `anneal_steps`)"},
    "clip_range_vf": {"PPO": "nothing (the critic's values are not clipped, as with SB3's None)"},
    "normalize_advantage": {
        "PPO": "nothing (advantages are always normalized, as with SB3's True)",
        "A2C": "nothing (advantages are never normalized, as with SB3's False)",
    },
    "ent_coef": {
        ON_POLICY: "`entropy_weight`",
        "SAC": 'nothing (the temperature is always learned from 1 on, as with SB3\'s "auto")',
    },
    "vf_coef": {ON_POLICY: "`value_weight`"},
    "max_grad_norm": {"PPO A2C DQN": "the same"},
    "rms_prop_eps": {"A2C": "nothing (it is always 1e-5, as with SB3's default)"},
    "use_rms_prop": {"A2C": "nothing (the optimizer is always RMSprop, as with SB3's True)"},
    "use_sde": {ON_POLICY: NO_SDE, "SAC": HELD},
    "sde_sample_freq": {ON_POLICY: NO_SDE, "SAC": HELD},
    "use_sde_at_warmup": {"SAC": NO_SDE},
    "rollout_buffer_class": {ON_POLICY: "nothing (the rollout is always kept whole)"},
    "rollout_buffer_kwargs": {ON_POLICY: "nothing (the rollout is always kept whole)"},
    "target_kl": {"PPO": "nothing (all `num_epochs` are run, as with SB3's None)"},
    "buffer_size": {OFF_POLICY: "the same (of each seed)"},
    "learning_starts": {OFF_POLICY: "the same (until then actions come from the policy, not from the whole space)"},
    "tau": {OFF_POLICY: "the same"},
    "train_freq": {OFF_POLICY: "`train_every` (in steps of each environment; whole episodes are not counted)"},
    "gradient_steps": {OFF_POLICY: "`num_updates` (SB3's -1, one update a step, is `train_every` times `num_envs`)"},
    "action_noise": {
        "SAC": "nothing (the policy itself explores)",
        "TD3": "`noise_std` (the sigma of a NormalActionNoise, in halves of the action's range; SB3's None is 0)",
    },
    "replay_buffer_class": {
        "DQN": "nothing (the buffer is sampled uniformly, or by error with `prioritized`)",
        "SAC TD3": "nothing (the buffer is sampled uniformly)",
    },
    "replay_buffer_kwargs": {OFF_POLICY: "nothing (time limits never count as ends, as with SB3's default)"},
    "optimize_memory_usage": {OFF_POLICY: "nothing (a smaller `buffer_size` takes less memory)"},
    "target_update_interval": {
        "DQN": "`target_every` = {value} / num_envs (in steps of each environment)",
        "SAC": "nothing (targets move at every update, as with SB3's 1)",
    },
    "target_entropy": {"SAC": 'nothing (it is minus the number of action components, as with SB3\'s "auto")'},
    "exploration_fraction": {"DQN": "`exploration_steps` = {value} * total_timesteps"},
    "exploration_initial_eps": {"DQN": "nothing (epsilon falls from 1, as with SB3's default)"},
    "exploration_final_eps": {"DQN": "`final_epsilon`"},
    "policy_delay": {"TD3": "the same"},
    "target_policy_noise": {"TD3": "`target_noise_std`"},
    "target_noise_clip": {"TD3": "the same"},
    "stats_window_size": {ALL: "nothing (agent.metrics has the mean of each environment's newest episode)"},
    "tensorboard_log": {ALL: "nothing (learn's callback can write agent.metrics to any log)"},
    "policy_kwargs": {
        ON_POLICY: '`network`, for example partial(models.MLP, hidden=(64, 64), activation="tanh"), or `log_std_init`',
        OFF_POLICY: "`network`, for example partial(models.MLP, hidden=(64, 64))",
    },
    "verbose": {ALL: "nothing (an agent prints nothing)"},
    "seed": {ALL: "`seeds=[{value}]`"},
    "device": {ALL: 'the same ("cpu" if left out, where SB3 has "auto"; the environments step on the CPU)'},
    "_init_setup_model": {ALL: "nothing (an agent is ready when it is made)"},
}

LEARN = {
    "total_timesteps": "the same (further steps of each seed, where SB3 rounds up to whole rollouts)",
    "callback": "the same (a function of the agent, which ends learning by returning False)",
    "log_interval": "nothing (agent.metrics has the newest numbers, for learn's callback to print)",
    "tb_log_name": "nothing (learn's callback can write agent.metrics to any log)",
    "reset_num_timesteps": "nothing (learn always goes on, as with SB3's False; a new agent begins anew)",
    "progress_bar": "nothing (learn's callback can show agent.num_timesteps)",
}

FILES = {
    "exclude": "nothing (a file holds the whole agent, its replay buffer and environments too)",
    "include": "nothing (a file holds the whole agent, its replay buffer and environments too)",
    "custom_objects": "nothing (a file holds numbers and names alone; `env` and `network` replace what is not in it)",
    "print_system_info": "nothing (results depend on the file alone)",
    "force_reset": "nothing (learning goes on within the episode; agent.vec_env.reset() starts new ones)",
}

# Attributes of SB3's models; those of METHODS are methods.
ATTRIBUTES = {
    "logger": "nothing (learn's callback can write agent.metrics to any log)",
    "env": "agent.vec_env, all environments of all seeds",
    "n_envs": "agent.config.num_envs",
    "lr_schedule": "agent.config.learning_rate and agent.config.anneal_steps",
    "replay_buffer": "agent.replay",
    "rollout_buffer": "agent.rollout",
    "exploration_rate": "agent.policy.epsilon",
    "exploration_schedule": "agent.config.exploration_steps and agent.config.final_epsilon",
    "q_net": "agent.policy.values",
    "q_net_target": "agent.target_values",
    "actor": "agent.policy",
    "actor_target": "agent.target_policy",
    "critic_target": "agent.target_critics",
    "log_ent_coef": "agent.log_temperature",
    "ent_coef_optimizer": "agent.temperature_optimizer",
    "policy_class": "type(agent.policy)",
    "ep_info_buffer": 'agent.metrics["return"]',
    "ep_success_buffer": "nothing (an agent reads no infos)",
    "start_time": "nothing (an agent takes no time)",
}

METHODS = {
    "get_env": "agent.vec_env, all environments of all seeds; gymnasium.make(agent.env) is a new one to test in",
    "set_env": "a new agent with that env, and its load_state_dict(agent.state_dict())",
    "get_vec_normalize_env": "nothing (the agent has the statistics, if normalize_obs or normalize_reward is True)",
    "get_parameters": "get_state(), or state_dict() of what learns",
    "set_parameters": "set_state(state), or load_state_dict(parameters) of what learns",
    "set_random_seed": "seeds=[...] when the agent is made",
    "set_logger": "nothing (learn's callback can write agent.metrics to any log)",
    "dump_logs": "nothing (learn's callback can write agent.metrics to any log)",
    "collect_rollouts": "learn, whose callback is called after every step",
    "save_replay_buffer": "save, which holds the replay buffer too",
    "load_replay_buffer": "load, which brings the replay buffer too",
}

ABSENT = {*CONSTRUCTOR, *ATTRIBUTES, *METHODS} - {"policy"}  # names that are answered, where an agent has none of them

CALLBACKS = {
    "EvalCallback": "to evaluate: agents.evaluation.evaluate(agent, env, starts) in it",
    "CheckpointCallback": "to save: agent.save(path) in it",
    "ProgressBarCallback": "to show progress: agent.num_timesteps in it",
}


def answer(name: str, text: str, value: Any = None) -> str:
    """One answer as a message has it: `value` is what the user gave for `name`."""
    given = repr(value) if isinstance(value, int | float | str | None) else type(value).__name__
    return f"{name}: here {text.format(value=given).replace('`', '')}"


def our_name(text: str) -> str | None:
    """The name of ours that an answer begins with; None if it begins with none."""
    match = re.match(r"`(\w+)", text)
    return match[1] if match else None


def of_agent(texts: Mapping[str, str], agent: str, fields: Iterable[str]) -> str | None:
    """The text for an agent of this name, or for one that SB3 has not, by its hyper-parameters; None if there is none.

    The others' text is an answer for an agent of one's own if it names one of its hyper-parameters, or none at all.
    """
    for names, text in texts.items():
        if agent in names.split():
            return text
    if agent in ALL.split():
        return None
    others = (text for text in texts.values() if not text.startswith("the same"))
    return next((text for text in others if our_name(text) in {None, "seeds", "network", *fields}), None)


def explain_hyperparameters(agent: str, fields: list[str], given: Mapping[str, Any]) -> str:
    """Why these keywords are not all hyper-parameters of an agent that has `fields`: one line, all answers in it."""
    unknown = {name: value for name, value in given.items() if name not in fields}
    texts = {name: of_agent(CONSTRUCTOR.get(name, {}), agent, fields) for name in unknown}
    answers = [answer(name, text, unknown[name]) for name, text in texts.items() if text is not None]
    if answers:
        return "; ".join(answers)
    return f"{', '.join(unknown)}: no hyper-parameter of this agent, which has {', '.join(fields)}"


def explain_arguments(agent: str, arguments: tuple, keywords: Mapping[str, Any]) -> str:
    """Why an agent is not made from several arguments without names: an environment, and others by their names."""
    first = arguments[0]
    if not (isinstance(first, type) and not issubclass(first, gym.Env)) and not str(first).endswith("Policy"):
        return f"{agent}: found {len(arguments)} arguments without names, expected env alone, the others by their names"
    env = keywords.get("env", arguments[1] if len(arguments) > 1 else None)
    env = repr(env) if isinstance(env, str) else "env"
    name = first.__name__ if isinstance(first, type) else repr(first)
    return f"policy: found {name}, expected none: {agent}({env}, network=...), where network is an MLP if left out"


def explain_env(env: Any, maker: str = "") -> str:
    """Why this (or what a function made) is not what environments are made from, and what to write instead."""
    expected, number = "expected an id, or a function that makes an environment", getattr(env, "num_envs", None)
    found = f"env: found {maker}{type(env).__name__}"
    if isinstance(number, int):
        return f"{found} with num_envs={number}, {expected}, and num_envs={number}"
    spec = getattr(env, "spec", None) if isinstance(env, gym.Env) else None
    write = (
        "lambda: ..., which makes a new one for each seed" if spec is None else f"lambda: gymnasium.make({spec.id!r})"
    )
    return f"{found}, {expected}: {write}" if isinstance(env, gym.Env) else f"{found}, {expected}"


def check_learn(agent: Any, total_timesteps: Any, callback: Any, keywords: Mapping[str, Any]) -> int:
    """The steps, if `learn` can be called with all this; 1e6 is a whole number, too.

    Raises:
        ValueError: for other steps, for a policy alone, for a callback that is no function of the agent, and for SB3's
            keywords.
        TypeError: for other keywords.
    """
    if keywords or callback is not None or agent.policy_only:
        check_callback(agent, callback, keywords)
    return balancier.check_steps("total_timesteps", total_timesteps)


def check_callback(agent: Any, callback: Any, keywords: Mapping[str, Any]) -> None:
    """Raise as `check_learn` for what it takes besides steps."""
    if agent.policy_only:
        expected = "an agent from the file of a whole one"
        raise ValueError(f"learn: found a policy alone, which was saved with policy_only=True, expected {expected}")
    if keywords:
        refuse_keywords("learn", LEARN, keywords)
    if callback is None:
        return
    found = type(callback).__name__
    if isinstance(callback, list | tuple):
        raise ValueError(f"callback: found a {found} of {len(callback)}, expected one function that calls them")
    if isinstance(callback, type) or not callable(callback):
        found = callback.__name__ if isinstance(callback, type) else found
        kinds = [kind.__name__ for kind in (callback if isinstance(callback, type) else type(callback)).__mro__]
        hint = next((f" ({CALLBACKS[kind]})" for kind in kinds if kind in CALLBACKS), "")
        raise ValueError(f"callback: found {found}, expected a function of the agent{hint}")
    if not balancier.function(1, "").holds(callback):
        names = ", ".join(inspect.signature(callback).parameters)
        raise ValueError(f"callback: found a function of ({names}), expected a function of the agent")


def refuse_keywords(function: str, texts: Mapping[str, str], keywords: Mapping[str, Any]) -> None:
    """Raise the answers to SB3's keywords among these (ValueError), or TypeError as Python does for unknown ones."""
    answers = [answer(name, texts[name], value) for name, value in keywords.items() if name in texts]
    if answers:
        raise ValueError("; ".join(answers))
    for name in keywords:
        raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")


def look_up(find: Callable[[str], Any], agent: Any, name: str) -> Any:
    """The attribute; AttributeError with what to use instead where an agent has none of SB3's of this name."""
    try:
        return find(name)
    except AttributeError as error:
        raise AttributeError(explain_sb3(type(agent), name) or str(error)) from None


def explain_sb3(kind: Any, name: str) -> str | None:
    """What an agent of this class has instead of an attribute of SB3's; None if nothing is known of it."""
    if name in METHODS or name in ATTRIBUTES:
        return answer(name, (METHODS | ATTRIBUTES)[name])
    fields = [field.name for field in dataclasses.fields(kind.Config)]
    text = of_agent(CONSTRUCTOR.get(name, {}), kind.__name__, fields)
    if text is None:
        return None
    ours = name if text.startswith("the same") else our_name(text)
    return answer(name, text if ours is None else f"agent.config.{ours}" if ours in fields else f"agent.{ours}")


def explain_attribute(agent: Any, name: str) -> str:
    """What to use instead of an attribute that one replica of an agent does not have."""
    if agent is not None and not name.startswith("_"):
        if (known := explain_sb3(type(agent), name)) is not None:
            return known
        if hasattr(agent, name):
            return f"{name}: found one seed, which only predicts, expected agent.{name}, or that of agent.extract(i)"
    return f"'Replica' object has no attribute {name!r}"
