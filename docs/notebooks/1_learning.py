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
# # 1. A program that learns to act
#
# What is intelligence? Nobody has a definition that all accept. Deciding, solving problems and learning are part of
# it, and a program that does all three can be measured: how close does it come to the best that is possible? Here an
# agent learns to swing up a pendulum and to balance it. Nobody tells it how.

# %%
# %matplotlib inline
# The short form of each lesson: the same claims, only coarser. Leave out quick=True for the whole one.

# %%
from IPython.display import Image

from experiments import train

status = train.main(["--quick", "--out", "learning", "--overwrite"])

# %% [markdown]
# Each thin line is one seed: the same algorithm with other random numbers. One of them alone would be a matter of
# luck. The distance to the line of the optimum is what is left to learn.

# %%
Image("learning/learning_curve.png", width=900)

# %% [markdown]
# To see it act, run `balancier watch learning` in a terminal.
#
# How an agent learns is the subject of section 6. Its first step is the return of an episode, which is step 1 of the
# exercise there.

# %% [markdown]
# ## Exercise
#
# The next cell writes your file beside this notebook, but not over one that exists. Fill its gaps; `balancier check
# 6.1` says what is right, step by step.

# %%
from experiments import exercise

status = exercise.main(["6.1", "--notebook"])
