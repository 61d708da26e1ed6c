# %% [markdown]
# # Exercise 5.3: a convolutional network for pictures
#
# First what the layers compute, by hand and in NumPy: a convolution, as deep learning calls it, and a maximum over
# squares. Then the network in PyTorch. It tells pictures of pendulums apart by the sector that the pendulum points
# into.

# %%
import numpy as np
import torch

from experiments.common.cifar_data import load  # Balancier's data: pictures of pendulums, drawn here

EPOCHS = 5
LEARNING_RATE = 1e-3
BATCH_SIZE = 64


# %%
def convolve(picture, kernel):
    """Step 1. At every place where the kernel fits, the sum of its weights times the pixels under them.

    picture: a NumPy array of shape (H, W).
    kernel: a NumPy array of shape (k, k). It is not flipped.
    Returns a NumPy array of shape (H - k + 1, W - k + 1); entry [i, j] is the sum over a and b of
    kernel[a, b] * picture[i + a, j + b].
    """
    # GAP 1
    k = len(kernel)
    height, width = picture.shape[0] - k + 1, picture.shape[1] - k + 1
    result = np.zeros((height, width))
    for i in range(height):
        for j in range(width):
            result[i, j] = (kernel * picture[i : i + k, j : j + k]).sum()
    return result
    # END


# %%
def output_size(size, kernel, stride, padding):
    """Step 2. Question: how many places has a kernel along one side of a picture?

    size: pixels of the side, kernel: k, stride: distance between two places, padding: pixels added at each end.
    Returns a whole number.
    """
    # GAP 2
    # The first place is at 0 and the last at size + 2 padding - k; between them, every stride-th one counts.
    return (size + 2 * padding - kernel) // stride + 1
    # END


# %%
def max_pool(picture, size):
    """Step 3. The largest pixel of each square of size x size pixels; the squares do not overlap.

    picture: a NumPy array of shape (H, W).
    size: pixels of a side of a square. Where it does not divide H or W, the rest at the end is left out.
    Returns a NumPy array of shape (H // size, W // size).
    """
    # GAP 3
    height, width = picture.shape[0] // size, picture.shape[1] // size
    squares = picture[: height * size, : width * size].reshape(height, size, width, size)
    return squares.max(axis=(1, 3))
    # END


# %%
def convolution_parameters(channels_in, channels_out, kernel):
    """Step 4. Question: how many parameters has a convolutional layer?

    channels_in, channels_out: channels before and after the layer, kernel: k. Every output channel has a bias.
    Returns the number of all weights and biases, a whole number.
    """
    # GAP 4
    # The size of the picture does not count: the same kernel is used at all places.
    return channels_out * (channels_in * kernel * kernel + 1)
    # END


# %%
def dense_parameters(height, width, channels_in, units):
    """Step 5. Question: and a layer in which every pixel has a weight for every unit?

    height, width, channels_in: of the picture, units: outputs of the layer. Every unit has a bias.
    Returns the number of all weights and biases, a whole number.
    """
    # GAP 5
    # It grows with the picture: 3 x 32 x 32 pixels and 16 units are 49,168 parameters. A convolution with 16 kernels of
    # 3 x 3 has 448.
    return units * (height * width * channels_in + 1)
    # END


# %%
class CNN(torch.nn.Module):
    """Step 6. A convolutional network for pictures of 32 x 32 pixels.

    CNN(channels_in, classes) makes one with random parameters. Its layers, in this order:
    a convolution with 16 kernels of 3 x 3 and padding 1, ReLU, max pooling of 2 x 2;
    a convolution with 32 kernels of 3 x 3 and padding 1, ReLU, max pooling of 2 x 2;
    and a linear layer from all 32 x 8 x 8 numbers, flattened, to the classes.
    """

    def __init__(self, channels_in, classes):
        super().__init__()
        # GAP 6
        self.first = torch.nn.Conv2d(channels_in, 16, 3, padding=1)
        self.second = torch.nn.Conv2d(16, 32, 3, padding=1)
        self.last = torch.nn.Linear(32 * 8 * 8, classes)
        # END

    def forward(self, x):
        """x: pictures, a tensor of shape (B, channels_in, 32, 32). Returns outputs, a tensor of shape (B, classes)."""
        # GAP 6
        for layer in (self.first, self.second):
            x = torch.nn.functional.max_pool2d(torch.relu(layer(x)), 2)
        return self.last(x.flatten(1))
        # END


# %%
def shift(picture, pixels):
    """Step 7. Move a picture to the right, to see what a network makes of it.

    picture: a NumPy array of shape (H, W).
    pixels: how far, a whole number from 0 to W. What leaves at the right is lost; zeros come in at the left.
    Returns a NumPy array of shape (H, W).
    """
    # GAP 7
    moved = np.zeros_like(picture)
    moved[:, pixels:] = picture[:, : picture.shape[1] - pixels]
    return moved
    # END


# %%
if __name__ == "__main__":
    data = load("pendulum", quick=True)
    x, x_test = (torch.tensor(part, dtype=torch.float32) / 255 - 0.5 for part in (data.train, data.test))
    y, y_test = torch.tensor(data.train_labels), torch.tensor(data.test_labels)
    gray = data.test[0].mean(axis=0)
    edges = np.array([[-1.0, 0.0, 1.0]] * 3)
    print("shape after a kernel for vertical edges:", convolve(gray, edges).shape)
    print("places along one side:", output_size(32, 3, 1, 0))
    moved = np.abs(convolve(shift(gray, 3), edges) - shift(convolve(gray, edges), 3))[:, 3:]
    print("largest difference between shift then convolve and convolve then shift, away from the edge:", moved.max())
    print("parameters of a convolution:", convolution_parameters(3, 16, 3))
    print("parameters of a dense layer:", dense_parameters(32, 32, 3, 16))
    network = CNN(3, 10)
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    for epoch in range(EPOCHS):
        for batch in torch.randperm(len(x)).split(BATCH_SIZE):
            loss = torch.nn.functional.cross_entropy(network(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            right = (network(x_test).argmax(dim=1) == y_test).float().mean().item()
        print("epoch:", epoch + 1, "test accuracy:", right)
