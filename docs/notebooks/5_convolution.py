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
# # 5. Convolutional networks
#
# A picture is a field of pixels with neighbors. A convolution uses the same few weights everywhere, so that it needs
# few parameters, and a shifted picture gives shifted features.

# %%
# %matplotlib inline
# The short form of each lesson: the same claims, only coarser. Leave out quick=True for the whole one.

# %%
from experiments import convolution

findings = convolution.LESSON.measure(convolution.LESSON.flags(quick=True))
figures = convolution.LESSON.figures(findings)

# %% [markdown]
# What a kernel computes.

# %%
figures["kernels"]

# %% [markdown]
# Stride, padding and pooling.

# %%
figures["stride_padding_pooling"]

# %% [markdown]
# What the layers of a trained network compute.

# %%
figures["feature_maps"]

# %% [markdown]
# Fewer parameters, and a better result, than a dense network.

# %%
figures["parameters"]

# %%
convolution.LESSON.table(findings)

# %% [markdown]
# ## Exercise
#
# The next cell writes your file beside this notebook, but not over one that exists. Fill its gaps; `balancier check
# 5.3` says what is right, step by step.

# %%
from experiments import exercise

status = exercise.main(["5.3", "--notebook"])
