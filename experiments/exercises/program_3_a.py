# %% [markdown]
# # Exercise 3.a: a data set of noisy points
#
# The inputs x are random numbers between 0 and 1. The output is y = sin(2 pi x) + w, where the noise w is normal, with
# mean 0 and standard deviation 0.1. Write the three functions. Each text says what a function takes and returns.

# %%
import matplotlib.pyplot as plt
import numpy as np

N = 30  # points
STD = 0.1  # standard deviation of the noise


# %%
def make_inputs(count):
    """Step 1. Draw random inputs, uniform between 0 and 1.

    count: how many, a whole number.
    Returns a NumPy array of shape (count,). Every call draws new numbers: do not set a seed here.
    """
    # GAP 1
    return np.random.uniform(0, 1, count)
    # END


# %%
def make_outputs(x, std):
    """Step 2. Compute the outputs y = sin(2 pi x) + w, with new noise w for every point.

    x: inputs, a NumPy array of shape (count,).
    std: standard deviation of the normal noise w, whose mean is 0.
    Returns a NumPy array of shape (count,).
    """
    # GAP 2
    noise = np.random.normal(0, std, len(x))
    return np.sin(2 * np.pi * x) + noise
    # END


# %%
def draw(x, y):
    """Step 3. Draw the points into a new figure of Matplotlib.

    x, y: NumPy arrays of shape (count,).
    Returns nothing. The figure shows every point as a marker (no line joins them), a label at each of the two axes, and
    a legend. Do not call plt.show() here.
    """
    # GAP 3
    plt.figure()
    plt.plot(x, y, "o", label="noisy points")
    plt.xlabel("x")
    plt.ylabel("y")
    plt.legend()
    # END


# %%
if __name__ == "__main__":
    x = make_inputs(N)
    y = make_outputs(x, STD)
    draw(x, y)
    plt.show()
