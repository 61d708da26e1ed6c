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
# # 4. Recurrent networks
#
# A recurrent network reads a sequence step by step and keeps a state. Problem 1: tell the length and the mass of a
# pendulum from its angles. Problem 2: predict its future. The short form tests networks that come with the package.

# %%
# %matplotlib inline
# The short form of each lesson: the same claims, only coarser. Leave out quick=True for the whole one.

# %%
from experiments import identify

findings = identify.LESSON.measure(identify.LESSON.flags(quick=True))
figures = identify.LESSON.figures(findings)

# %% [markdown]
# Beyond the length of the training, the flat network cannot go on; recurrent ones read on.

# %%
figures["lengths"]

# %% [markdown]
# How far back the gradient reaches, and what the gates of an LSTM do.

# %%
figures["memory"]

# %% [markdown]
# Length and mass, beside the best that is possible.

# %%
figures["estimates"]

# %%
identify.LESSON.table(findings)

# %%
from experiments import forecast

findings = forecast.LESSON.measure(forecast.LESSON.flags(quick=True))
figures = forecast.LESSON.figures(findings)

# %% [markdown]
# Predictions become inputs, and so the network goes on alone.

# %%
figures["futures"]

# %% [markdown]
# How the error grows with the steps ahead.

# %%
figures["error_against_horizon"]

# %%
forecast.LESSON.table(findings)

# %% [markdown]
# ## Exercises
#
# The next cell writes your file beside this notebook, but not over one that exists. Fill its gaps; `balancier check
# 4.1` and `balancier check 4.1-2` say what is right, step by step.

# %%
from experiments import exercise

status = exercise.main(["4.1", "--notebook"])
status = exercise.main(["4.1-2", "--notebook"])
