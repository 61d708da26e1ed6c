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
# # 6.2 Pictures in ten classes
#
# CIFAR-10 has 60,000 pictures in ten classes. Without the data and without a network connection, the lesson takes
# pictures of pendulums, whose classes are ten sectors of the angle.

# %%
# %matplotlib inline
# The short form of each lesson: the same claims, only coarser. Leave out quick=True for the whole one.

# %%
from experiments import cifar

findings = cifar.LESSON.measure(cifar.LESSON.flags(quick=True))
figures = cifar.LESSON.figures(findings)

# %% [markdown]
# Accuracy on training and test pictures.

# %%
figures["curves"]

# %% [markdown]
# Which classes are confused.

# %%
figures["confusion"]

# %% [markdown]
# The mistakes that the network is surest of.

# %%
figures["mistakes"]

# %%
cifar.LESSON.table(findings)

# %% [markdown]
# ## Exercise
#
# The next cell writes your file beside this notebook, but not over one that exists. Fill its gaps; `balancier check
# 5.3` says what is right, step by step.

# %%
from experiments import exercise

status = exercise.main(["5.3", "--notebook"])
