# %% [markdown]
# # Exercise 4.1, problem 1: length and mass of a pendulum from its angles
#
# A hanging, damped pendulum swings freely, and its angle is measured every 0.05 s. An Elman network reads the angles
# one group after another, and its last state gives an estimate of the length and the mass. B is the number of
# sequences, T that of steps, F that of inputs of a step, and H that of numbers in the state. All tensors are float32.

# %%
import torch

from envs.datasets import swings  # Balancier's data: angles of simulated pendulums

COUNT, STEPS, GROUP = 4000, 100, 5  # pendulums, angles of each, angles that the network reads in one step
HIDDEN = 32
LEARNING_RATE = 3e-3
BATCH_SIZE = 64
EPOCHS = 30
DAMPING = 0.2
NOISE = 0.01  # rad, of a measured angle


# %%
def elman_step(x, h, W_x, W_h, b):
    """Step 1. The next state of an Elman network: h_t = tanh(W_x x_t + W_h h_{t-1} + b).

    x: inputs of this step, a tensor of shape (B, F).
    h: states before it, a tensor of shape (B, H).
    W_x, W_h, b: parameters, tensors of the shapes (H, F), (H, H) and (H,).
    Returns the next states, a tensor of shape (B, H).
    """
    # GAP 1
    return torch.tanh(x @ W_x.T + h @ W_h.T + b)
    # END


# %%
def read_sequence(x, W_x, W_h, b):
    """Step 2. Read whole sequences, from states that are all zero.

    x: sequences, a tensor of shape (B, T, F), for any T.
    W_x, W_h, b: as in step 1; the same at every step.
    Returns the last states, a tensor of shape (B, H). Use elman_step.
    """
    # GAP 2
    h = torch.zeros(len(x), len(b))
    for t in range(x.shape[1]):
        h = elman_step(x[:, t], h, W_x, W_h, b)
    return h
    # END


# %%
class Elman(torch.nn.Module):
    """Step 3. An Elman network that answers once, after the whole sequence: y = W h_T + b_y.

    Elman(n_in, hidden, n_out) makes one with random parameters:
    n_in: F, hidden: H, n_out: size of an answer.
    Its parameters are those of step 1, and W of shape (n_out, H) and b_y of shape (n_out,). torch.nn.RNN may be used;
    it has two bias vectors instead of one.
    """

    def __init__(self, n_in, hidden, n_out):
        super().__init__()
        # GAP 3
        self.memory = torch.nn.RNN(n_in, hidden, batch_first=True)
        self.answer = torch.nn.Linear(hidden, n_out)
        # END

    def forward(self, x):
        """x: sequences, a tensor of shape (B, T, n_in), for any T. Returns a tensor of shape (B, n_out)."""
        # GAP 3
        states, _ = self.memory(x)
        return self.answer(states[:, -1])
        # END


# %%
def flat_parameters(steps, n_in, hidden, n_out):
    """Step 4. Question: how many parameters has an MLP with one hidden layer that reads a sequence as a flat vector?

    steps: T, n_in: F, hidden: size of the hidden layer, n_out: size of the answer.
    Returns the number of all weights and biases, a whole number.
    """
    # GAP 4
    # Its first layer has a weight for every input of every step, so it grows with the length of the sequence.
    return (steps * n_in + 1) * hidden + (hidden + 1) * n_out
    # END


# %%
def elman_parameters(steps, n_in, hidden, n_out):
    """Step 5. Question: and an Elman network with the parameters W_x, W_h, b, W and b_y?

    steps: T, n_in: F, hidden: H, n_out: size of the answer.
    Returns the number of all weights and biases, a whole number.
    """
    # GAP 5
    # The number of steps does not count: all steps share their parameters. So the network reads any length.
    return (n_in + hidden + 1) * hidden + (hidden + 1) * n_out
    # END


# %%
def rms_error(estimate, truth):
    """Step 6. The root mean squared error of each quantity.

    estimate, truth: tensors of shape (n, 2), length and mass of n pendulums.
    Returns a tensor of shape (2,).
    """
    # GAP 6
    return (estimate - truth).square().mean(dim=0).sqrt()
    # END


# %%
def mass_shows(damping):
    """Step 7. Question: can anyone tell the mass of a freely swinging pendulum from its angles?

    damping: friction, 0 for a pendulum without any.
    Returns True if the mass changes the angles, and False if pendulums of any mass swing alike.
    """
    # GAP 7
    # Without friction the mass is a factor of every term of the equation of motion, and cancels out (Galilei). With
    # friction, a heavy pendulum is slowed down less than a light one. So only damped pendulums show their mass.
    return damping > 0
    # END


# %%
if __name__ == "__main__":
    angles, drawn = swings(COUNT, STEPS, damping=DAMPING)
    x = torch.tensor(angles, dtype=torch.float32)
    x = (x + NOISE * torch.randn(x.shape)).reshape(COUNT, STEPS // GROUP, GROUP)
    y = torch.stack([torch.tensor(drawn[name], dtype=torch.float32) for name in ("length", "mass")], dim=1)
    mean, std = y.mean(dim=0), y.std(dim=0)
    training, test = slice(0, COUNT - 500), slice(COUNT - 500, COUNT)
    print("parameters, flat and Elman:", flat_parameters(20, 5, HIDDEN, 2), elman_parameters(20, 5, HIDDEN, 2))
    model = Elman(GROUP, HIDDEN, 2)
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE)
    for epoch in range(EPOCHS):
        for batch in torch.randperm(COUNT - 500).split(BATCH_SIZE):
            loss = (model(x[training][batch]) - (y[training][batch] - mean) / std).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            estimate = model(x[test]) * std + mean
        print("epoch", epoch + 1, "error of length (m) and mass (kg)", rms_error(estimate, y[test]).tolist())
    print("errors of a guess that is always the mean", std.tolist())
    print("The mass shows little; `balancier identify` learns it, from more pendulums.")
