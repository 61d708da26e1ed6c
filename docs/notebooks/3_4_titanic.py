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
# # 3.4 Classification: who survived the Titanic
#
# The output is one of C classes. A network gives C numbers, softmax makes probabilities of them, and the loss is minus
# the logarithm of the probability of the true class. Before that, the data are looked at and prepared. Without a
# network connection, the lesson goes on with data that it makes from published counts, and says so.

# %%
# %matplotlib inline
# The short form of each lesson: the same claims, only coarser. Leave out quick=True for the whole one.

# %%
from experiments import titanic

findings = titanic.LESSON.measure(titanic.LESSON.flags(quick=True))
figures = titanic.LESSON.figures(findings)

# %% [markdown]
# A name, a category, a yes or no, and a number.

# %%
figures["columns"]

# %% [markdown]
# What goes with survival, and what does not.

# %%
figures["correlation"]

# %% [markdown]
# The loss is minimized; the accuracy is what one wants to know.

# %%
figures["learning"]

# %% [markdown]
# Can the confidence of the network be believed?

# %%
figures["confidence"]

# %% [markdown]
# An input that means nothing is learned by heart.

# %%
figures["p_id"]

# %%
titanic.LESSON.table(findings)

# %% [markdown]
# ## Exercise
#
# The next cell writes your file beside this notebook, but not over one that exists. Fill its gaps; `balancier check
# 3.4` says what is right, step by step.

# %%
from experiments import exercise

status = exercise.main(["3.4", "--notebook"])
