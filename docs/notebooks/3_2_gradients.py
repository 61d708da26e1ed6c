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
# # 3.2 Three ways to a gradient
#
# Gradient descent needs the derivative of the loss with respect to every parameter, in every iteration. By hand that
# is prohibitive, finite differences are inexact and costly, and automatic differentiation is exact and costs about as
# much as the loss itself.

# %%
# %matplotlib inline
# The short form of each lesson: the same claims, only coarser. Leave out quick=True for the whole one.

# %%
from experiments import autodiff

findings = autodiff.LESSON.measure(autodiff.LESSON.flags(quick=True))
figures = autodiff.LESSON.figures(findings)

# %% [markdown]
# Finite differences have a best step, and even there they lose half of the digits.

# %%
figures["gradients"]

# %% [markdown]
# Finite differences evaluate the loss once for every parameter; automatic differentiation needs one pass.

# %%
figures["evaluations"]

# %% [markdown]
# Where a loss is not convex, gradient descent ends in the minimum of the valley in which it began.

# %%
figures["local_minima"]

# %%
autodiff.LESSON.table(findings)

# %% [markdown]
# ## Exercise
#
# The next cell writes your file beside this notebook, but not over one that exists. Fill its gaps; `balancier check
# 3.a-2` says what is right, step by step.

# %%
from experiments import exercise

status = exercise.main(["3.a-2", "--notebook"])
