"""Checkpoints that the first edition wrote: they load, act as they did, and learn on as they would have then.

Each file holds two seeds after 90 steps; the numbers beside them are the first edition's own.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import agents

FOLDER = Path(__file__).parents[2] / "data" / "first_edition"
EXPECTED = json.loads((FOLDER / "expected.json").read_text())


@pytest.mark.parametrize("name", EXPECTED)
def test_a_checkpoint_of_the_first_edition_goes_on(name):
    expected, agent = EXPECTED[name], agents.load(FOLDER / f"{name}.safetensors")
    assert agent.num_timesteps == expected["timesteps"]
    obs = np.array(expected["obs"], np.float32)
    np.testing.assert_allclose(agent.predict(obs)[0], expected["action"], atol=1e-6)
    agent.learn(60)
    if agent.env == "CartPole-v1":  # whose episodes have had other starts since
        assert agent.num_timesteps == expected["timesteps"] + 60
        return
    np.testing.assert_allclose(agent.predict(obs)[0], expected["action_60_steps_later"], atol=1e-4)
    total = sum(parameter[0].detach().double().abs().sum() for parameter in agent.policy.parameters())
    torch.testing.assert_close(float(total), expected["policy_sum_60_steps_later"], atol=1e-4, rtol=0)


def test_what_is_saved_again_is_of_the_new_format(tmp_path):
    agent = agents.load(FOLDER / "dqn_refined.safetensors")
    agent.save(tmp_path / "agent")
    again = agents.load(tmp_path / "agent")
    assert agents.checkpoint.load(tmp_path / "agent")[1]["format"] == 2
    for name, array in agent.get_state().items():
        np.testing.assert_array_equal(again.get_state()[name], array, err_msg=name)
