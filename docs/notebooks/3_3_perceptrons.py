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
# # 3.3, 3.b Multilayer perceptrons
#
# A layer is a linear combination of its inputs and a non-linearity; a network is a chain of layers. The first lesson
# turns its knobs one at a time: the width, the epochs, the learning rate, the minibatches, the activation. The second
# learns two functions of two inputs, down to the noise of the data.

# %%
# %matplotlib inline
# The short form of each lesson: the same claims, only coarser. Leave out quick=True for the whole one.

# %%
from experiments import mlp

findings = mlp.LESSON.measure(mlp.LESSON.flags(quick=True))
figures = mlp.LESSON.figures(findings)

# %% [markdown]
# With more hidden units, the network follows the curve. The dotted line has a parabola as activation: a polynomial is
# not enough.

# %%
figures["widths"]

# %% [markdown]
# Epochs and learning rates.

# %%
figures["rates"]

# %% [markdown]
# Minibatches: more updates for the same work.

# %%
figures["minibatches"]

# %%
mlp.LESSON.table(findings)

# %%
from experiments import vector_regression

findings = vector_regression.LESSON.measure(vector_regression.LESSON.flags(quick=True))
figures = vector_regression.LESSON.figures(findings)

# %% [markdown]
# The loss of both outputs, on a logarithmic axis. No network gets below the noise.

# %%
figures["loss"]

# %% [markdown]
# What was learned, beside the truth.

# %%
figures["fit"]

# %%
vector_regression.LESSON.table(findings)

# %% [markdown]
# ## Exercise
#
# The next cell writes your file beside this notebook, but not over one that exists. Fill its gaps; `balancier check
# 3.b` says what is right, step by step.

# %%
from experiments import exercise

status = exercise.main(["3.b", "--notebook"])
