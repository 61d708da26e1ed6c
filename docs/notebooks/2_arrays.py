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
# # 2. Tools: arrays instead of loops
#
# Machine learning needs programming and mathematics: linear algebra, derivatives, probability, statistics. In Python,
# NumPy and PyTorch bring the first two together: one line computes with a whole array. The lesson counts how many
# steps of a pendulum are computed in a second, one environment at a time and many in one array.

# %%
# %matplotlib inline
# The short form of each lesson: the same claims, only coarser. Leave out quick=True for the whole one.

# %%
from experiments import bench

findings = bench.LESSON.measure(bench.LESSON.flags(quick=True, tables=("stepping",), budget=0.5))
figures = bench.LESSON.figures(findings)

# %% [markdown]
# A loop over environments costs the same for each of them. In one array, a thousand cost hardly more than one.

# %%
figures["stepping"]

# %%
bench.LESSON.table(findings)

# %% [markdown]
# ## Exercise
#
# The next cell writes your file beside this notebook, but not over one that exists. Fill its gaps; `balancier check
# 3.a` says what is right, step by step.

# %%
from experiments import exercise

status = exercise.main(["3.a", "--notebook"])
