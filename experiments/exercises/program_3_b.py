# %% [markdown]
# # Exercise 3.b: a multilayer perceptron for vectors
#
# The input x has two components: x1 is uniform in [-1, 1], x2 in [1, 4]. The output is
# y = [sqrt(x1 + x2), x2^3] + w, with normal noise w of standard deviation 0.1 in each component. A network with one
# hidden layer (MLP) learns it from 2000 points and is tested on 500 others. All tensors are float32.

# %%
import matplotlib.pyplot as plt
import torch

TRAINING, VALIDATION = 2000, 500  # points
STD = 0.1  # standard deviation of the noise
EPOCHS = 500
HIDDEN = 64
BATCH_SIZE = 64


# %%
def make_data(count, std):
    """Step 1. Draw the data set; every call draws new points.

    count: how many points, a whole number.
    std: standard deviation of the noise.
    Returns (x, y), two tensors of shape (count, 2).
    """
    # GAP 1
    x1 = torch.rand(count) * 2 - 1
    x2 = torch.rand(count) * 3 + 1
    y = torch.stack([(x1 + x2).sqrt(), x2**3], dim=1)
    return torch.stack([x1, x2], dim=1), y + std * torch.randn(count, 2)
    # END


# %%
class MLP(torch.nn.Module):
    """Step 2. A network with one hidden layer: y_hat = W2 relu(W1 x + b1) + b2.

    MLP(n_in, hidden, n_out) makes one with random parameters:
    n_in: size of an input, hidden: size of the hidden layer, n_out: size of an output.
    """

    def __init__(self, n_in, hidden, n_out):
        super().__init__()
        # GAP 2
        self.first = torch.nn.Linear(n_in, hidden)
        self.second = torch.nn.Linear(hidden, n_out)
        # END

    def forward(self, x):
        """x: inputs, a tensor of shape (B, n_in). Returns the outputs, a tensor of shape (B, n_out)."""
        # GAP 2
        return self.second(torch.relu(self.first(x)))
        # END


# %%
def bias_sizes(n_in, hidden, n_out):
    """Step 3. Question: which sizes do the bias vectors b1 and b2 of this network have?

    n_in, hidden, n_out: as in step 2.
    Returns (size of b1, size of b2), two whole numbers.
    """
    # GAP 3
    # A bias is added to what the layer computes, so it is as large as the output of its layer. The input does not
    # count.
    return hidden, n_out
    # END


# %%
def minibatches(count, batch_size):
    """Step 4. Cut the indices 0, 1, ..., count - 1 into minibatches, at random: another cut in every call.

    count: number of points.
    batch_size: indices in every minibatch; the last one has fewer if count is no multiple of it.
    Returns a list of tensors of whole numbers. Together they hold every index exactly once.
    """
    # GAP 4
    return list(torch.randperm(count).split(batch_size))
    # END


# %%
def train_epoch(model, optimizer, x, y, batch_size):
    """Step 5. One epoch of stochastic gradient descent: one update of the parameters for each minibatch.

    model: a network as in step 2.
    optimizer: one of torch.optim for the parameters of the model; call its zero_grad() and step().
    x, y: training data, tensors of shape (N, n_in) and (N, n_out).
    batch_size: as in step 4; use minibatches.
    The loss of a minibatch is the mean of all squared errors in it, over points and components.
    Returns nothing.
    """
    # GAP 5
    for indices in minibatches(len(x), batch_size):
        loss = torch.nn.functional.mse_loss(model(x[indices]), y[indices])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # END


# %%
def learning_rate(epoch):
    """Step 6. The learning rate of an epoch: 1e-3 in the first 350 epochs, then 2e-4.

    epoch: number of the epoch; the first one is 0.
    Returns the learning rate, a float.
    """
    # GAP 6
    return 1e-3 if epoch < 350 else 2e-4
    # END


# %%
def smallest_loss(std):
    """Step 7. Question: which mean squared error would a network have that knows the two functions exactly?

    std: standard deviation of the noise, which nobody can predict.
    Returns that error, a float.
    """
    # GAP 7
    # Only the noise is left, and the mean of its square is its variance. No network gets below it on new data.
    return std**2
    # END


# %%
if __name__ == "__main__":
    x, y = make_data(TRAINING, STD)
    x_new, y_new = make_data(VALIDATION, STD)
    model = MLP(2, HIDDEN, 2)
    print(model, "sizes of the biases:", bias_sizes(2, HIDDEN, 2))
    optimizer = torch.optim.Adam(model.parameters())
    losses = []
    for epoch in range(EPOCHS):
        optimizer.param_groups[0]["lr"] = learning_rate(epoch)
        train_epoch(model, optimizer, x, y, BATCH_SIZE)
        with torch.no_grad():
            losses.append([torch.nn.functional.mse_loss(model(a), b).item() for a, b in ((x, y), (x_new, y_new))])
    print("training and validation loss", losses[-1], "smallest possible", smallest_loss(STD))
    plt.semilogy(losses, label=["training", "validation"])
    plt.xlabel("epochs")
    plt.ylabel("mean squared error")
    plt.legend()
    plt.show()
