# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 6.1 Reinforcement learning
#
# An agent acts in an environment and gets a reward for every step; the return, their sum, is what it makes large.
# Value iteration knows the environment, Q-learning learns from steps, and DQN puts a network in place of the table.
# Policy gradients learn the actions themselves.

# %%
# %matplotlib inline
# The short form of each lesson: the same claims, only coarser. Leave out quick=True for the whole one.

# %%
from experiments import q_learning

findings = q_learning.LESSON.measure(q_learning.LESSON.flags(quick=True))
figures = q_learning.LESSON.figures(findings)

# %% [markdown]
# Values spread from the goal, one step with every sweep.

# %%
figures["value_iteration"]

# %% [markdown]
# Three methods, and the optimum.

# %%
figures["policies"]

# %% [markdown]
# How far each is from the optimum.

# %%
figures["errors"]

# %%
q_learning.LESSON.table(findings)

# %%
from experiments import policy_gradient

findings = policy_gradient.LESSON.measure(policy_gradient.LESSON.flags(quick=True))
figures = policy_gradient.LESSON.figures(findings)

# %% [markdown]
# REINFORCE, its baseline, A2C and PPO.

# %%
figures["learning_curves"]

# %% [markdown]
# What each adds: a gradient with less noise.

# %%
figures["variance"]

# %%
policy_gradient.LESSON.table(findings)

# %% [markdown]
# ## Exercise
#
# The next cell writes your file beside this notebook, but not over one that exists. Fill its gaps; `balancier check
# 6.1` says what is right, step by step.

# %%
from experiments import exercise

status = exercise.main(["6.1", "--notebook"])
