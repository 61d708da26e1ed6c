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
# # 3.1, 3.2 Polynomials and gradient descent
#
# A prediction is y = h(x, theta). The function h is chosen, here a polynomial of order M; its parameters theta are
# learned, by making the mean squared error small. Which order is right, and which learning rate finds the parameters?

# %%
# %matplotlib inline
# The short form of each lesson: the same claims, only coarser. Leave out quick=True for the whole one.

# %%
from experiments import polynomial

findings = polynomial.LESSON.measure(polynomial.LESSON.flags(quick=True))
figures = polynomial.LESSON.figures(findings)

# %% [markdown]
# Orders 0 and 1 miss the points (underfitting). Order 9 passes through all of them and is wrong between them
# (overfitting).

# %%
figures["fits"]

# %% [markdown]
# The training error falls with the order. The validation error shows where overfitting begins.

# %%
figures["errors"]

# %% [markdown]
# More data make the same order 9 harmless.

# %%
figures["points"]

# %% [markdown]
# Gradient descent with a small, a good and a too large learning rate.

# %%
figures["descent"]

# %%
polynomial.LESSON.table(findings)

# %% [markdown]
# ## Exercises
#
# The next cell writes your file beside this notebook, but not over one that exists. Fill its gaps; `balancier check
# 3.a` and `balancier check 3.a-2` say what is right, step by step.

# %%
from experiments import exercise

status = exercise.main(["3.a", "--notebook"])
status = exercise.main(["3.a-2", "--notebook"])
