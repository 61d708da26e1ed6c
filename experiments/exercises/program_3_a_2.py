# %% [markdown]
# # Exercise 3.a, continued: gradient descent for a polynomial
#
# A polynomial of order M has M + 1 weights: y_hat = theta_0 + theta_1 x + ... + theta_M x^M. Gradient descent looks for
# the weights with the smallest mean squared error L. All tensors are float32.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

N = 30  # points
STD = 0.1  # standard deviation of the noise
ORDERS = [1, 2, 3, 8, 9]
RATES = [0.01, 0.5, 2.0]


def make_data(count):
    """The data set of exercise 3.a: two tensors of shape (count,)."""
    x = np.random.uniform(0, 1, count)
    y = np.sin(2 * np.pi * x) + np.random.normal(0, STD, count)
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)


# %%
def predict(x, theta):
    """Step 1. The value of the polynomial with the weights theta at every input.

    x: inputs, a tensor of shape (N,).
    theta: weights, a tensor of shape (M + 1,), for any M; theta[i] belongs to x to the power of i.
    Returns a tensor of shape (N,) that can be differentiated with respect to theta.
    """
    # GAP 1
    powers = x[:, None] ** torch.arange(len(theta))
    return powers @ theta
    # END


# %%
def get_loss(y_hat, y):
    """Step 2. The mean squared error L = 1/N sum of (y_i - y_hat_i)^2.

    y_hat, y: predictions and data, tensors of shape (N,).
    Returns a tensor with one number, shape ().
    """
    # GAP 2
    error = y - y_hat
    return (error * error).mean()
    # END


# %%
def gradient(x, y, theta):
    """Step 3. The gradient of L with respect to the weights, by automatic differentiation.

    x, y: data, tensors of shape (N,).
    theta: weights, a tensor of shape (M + 1,) with requires_grad=True.
    Returns a tensor of shape (M + 1,). Use predict and get_loss.
    """
    # GAP 3
    loss = get_loss(predict(x, theta), y)
    return torch.autograd.grad(loss, theta)[0]
    # END


# %%
def descend(x, y, order, learning_rate, iterations):
    """Step 4. Gradient descent from weights that are all zero.

    x, y: data, tensors of shape (N,).
    order: M, a whole number.
    learning_rate: eta in the update theta <- theta - eta * gradient.
    iterations: the number of updates.
    Returns the last weights, a tensor of shape (M + 1,).
    """
    # GAP 4
    theta = torch.zeros(order + 1, requires_grad=True)
    for _ in range(iterations):
        step = learning_rate * gradient(x, y, theta)
        theta = (theta - step).detach().requires_grad_()
    return theta.detach()
    # END


# %%
def too_large_rate():
    """Step 5. Question: with which of the learning rates 0.01, 0.5 and 2 does the descent diverge? Try M = 3.

    Returns that learning rate, a number.
    """
    # GAP 5
    # With 2, every update goes farther beyond the minimum than the one before: 2 is above the bound 2/K, where K is the
    # largest curvature of L. With 0.01 the descent converges, but slowly.
    return 2
    # END


# %%
def test_losses(x, y, x_test, y_test, orders, learning_rate, iterations):
    """Step 6. Train a polynomial of each order on (x, y), and measure its loss on data that it has not seen.

    x, y: training data, tensors of shape (N,).
    x_test, y_test: test data, tensors of shape (N_test,).
    orders: a list of orders M.
    learning_rate, iterations: as in descend.
    Returns a list with one test loss, a float, for each order.
    """
    # GAP 6
    losses = []
    for order in orders:
        theta = descend(x, y, order, learning_rate, iterations)
        losses.append(get_loss(predict(x_test, theta), y_test).item())
    return losses
    # END


# %%
def best_order(orders, losses):
    """Step 7. Question: which order M should one choose? Answer with the numbers of step 6.

    orders: a list of orders M.
    losses: a list with the test loss of each of them.
    Returns the order to choose, a whole number.
    """
    # GAP 7
    # The one whose loss on unseen data is smallest. A smaller order underfits, and a larger one can fit the noise of
    # the training data: it overfits. The training loss cannot tell: it is the smaller, the larger the order is.
    # Gradient descent that stops early fits less noise; so here orders of 3 and more come out nearly alike.
    return orders[int(np.argmin(losses))]
    # END


# %%
if __name__ == "__main__":
    x, y = make_data(N)
    x_test, y_test = make_data(1000)
    for rate in RATES:
        theta = descend(x, y, 3, rate, 2000)
        print("learning rate", rate, "training loss", get_loss(predict(x, theta), y).item())
    losses = test_losses(x, y, x_test, y_test, ORDERS, 0.5, 5000)
    print("test losses", dict(zip(ORDERS, losses, strict=True)), "best order", best_order(ORDERS, losses))
    line = torch.linspace(0, 1, 200)
    plt.plot(x, y, "o", label="noisy points")
    for order in ORDERS:
        plt.plot(line, predict(line, descend(x, y, order, 0.5, 5000)), label="M = " + str(order))
    plt.xlabel("x")
    plt.ylabel("y")
    plt.legend()
    plt.show()
