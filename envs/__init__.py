"""Worlds: importing this package registers them with Gymnasium."""

from gymnasium import register

register(
    id="balancier/Pendulum-v0",
    entry_point="envs.pendulum:PendulumEnv",
    vector_entry_point="envs.pendulum:PendulumVectorEnv",
    max_episode_steps=200,
)
register(
    id="balancier/PendulumDiscrete-v0",
    entry_point="envs.pendulum:PendulumEnv",
    vector_entry_point="envs.pendulum:PendulumVectorEnv",
    max_episode_steps=200,
    kwargs={"num_torques": 5},
)
