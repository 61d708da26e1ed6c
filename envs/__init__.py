"""The environments; `import envs` registers them with Gymnasium.

| Id | Module |
|---|---|
| `balancier/Pendulum-v0`, `balancier/PendulumDiscrete-v0` | `envs.pendulum` |
| `balancier/PendulumAdaptation-v0` | `envs.adaptation` |
| `balancier/Curve-v0`, `balancier/Sequence-v0`, `balancier/Recall-v0`, `balancier/Frames-v0` | `envs.prediction` |
"""

import balancier

balancier.check_packages()

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
register(
    id="balancier/PendulumAdaptation-v0",
    entry_point="envs.adaptation:AdaptationEnv",
    vector_entry_point="envs.adaptation:AdaptationVectorEnv",
    max_episode_steps=200,
    kwargs={"length": (0.5, 1.5), "mass": (0.5, 1.5)},
)
for name in ("curve", "sequence", "recall", "frames"):
    register(
        id=f"balancier/{name.capitalize()}-v0",
        entry_point="envs.prediction:PredictionEnv",
        vector_entry_point="envs.prediction:PredictionVectorEnv",
        kwargs={"source": name},
    )
