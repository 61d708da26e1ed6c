# %% [markdown]
# # Exercise 4.1, problem 2: the future of a pendulum from its past
#
# An LSTM reads the angles of a swinging pendulum and predicts the next one at every step. Its predictions become its
# inputs, and so it goes on alone. B is the number of sequences, T that of steps, H that of numbers in the state. All
# tensors are float32.

# %%
import torch

from envs.datasets import swings  # Balancier's data: angles of simulated pendulums

COUNT, PAST, FUTURE = 2000, 50, 50  # pendulums, angles that are read, angles that are predicted
HIDDEN = 32
LEARNING_RATE = 5e-3
BATCH_SIZE = 64
EPOCHS = 20
DAMPING = 0.2


# %%
def windows(series, length):
    """Step 1. Cut a series into all windows of `length` steps, one beginning at every step.

    series: a tensor of shape (T,).
    length: steps of a window, a whole number up to T.
    Returns a tensor of shape (T - length + 1, length); row i begins with series[i].
    """
    # GAP 1
    return torch.stack([series[i : i + length] for i in range(len(series) - length + 1)])
    # END


# %%
def lstm_step(x, h, c, W, U, b):
    """Step 2. One step of an LSTM.

    z = W x + U h + b has four parts of H numbers, in this order: z_i, z_f, z_g, z_o.
    The gates i = sigmoid(z_i), f = sigmoid(z_f), o = sigmoid(z_o) lie between 0 (shut) and 1 (open).
    The new cell state is f c + i tanh(z_g), and the new output is o tanh(new cell state).

    x, h, c: inputs (B, F), outputs (B, H) and cell states (B, H) before the step.
    W, U, b: parameters, tensors of the shapes (4 H, F), (4 H, H) and (4 H,).
    Returns (new output, new cell state), two tensors of shape (B, H).
    """
    # GAP 2
    z_i, z_f, z_g, z_o = (x @ W.T + h @ U.T + b).chunk(4, dim=1)
    c = torch.sigmoid(z_f) * c + torch.sigmoid(z_i) * torch.tanh(z_g)
    return torch.sigmoid(z_o) * torch.tanh(c), c
    # END


# %%
class Forecaster(torch.nn.Module):
    """Step 3. A recurrent network that predicts the next angle after every angle: torch.nn.LSTM and a linear layer.

    Forecaster(hidden) makes one with random parameters; hidden is H.
    """

    def __init__(self, hidden):
        super().__init__()
        # GAP 3
        self.memory = torch.nn.LSTM(1, hidden, batch_first=True)
        self.answer = torch.nn.Linear(hidden, 1)
        # END

    def forward(self, x, state=None):
        """Read angles, and predict the next one after each.

        x: angles, a tensor of shape (B, T, 1).
        state: the state of torch.nn.LSTM after what was read before, or None at the beginning.
        Returns (y, state): y of shape (B, T, 1), where y[:, t] predicts x[:, t + 1], and the state after the last x.
        """
        # GAP 3
        outputs, state = self.memory(x, state)
        return self.answer(outputs), state
        # END


# %%
def one_step_loss(y, x):
    """Step 4. The mean squared error of the predictions, one step ahead.

    y: predictions, a tensor of shape (B, T, 1): y[:, t] predicts x[:, t + 1].
    x: angles, a tensor of shape (B, T, 1). There is no angle to compare the last prediction with, and no prediction of
    the first angle: both are left out.
    Returns a tensor with one number.
    """
    # GAP 4
    return (y[:, :-1] - x[:, 1:]).square().mean()
    # END


# %%
def roll_out(model, past, steps):
    """Step 5. Predict many steps: read the past, then take every prediction as the next input.

    model: called as model(x, state), it returns (y, state) as in step 3.
    past: angles, a tensor of shape (B, T, 1).
    steps: number of angles to predict.
    Returns a tensor of shape (B, steps, 1); its first angle follows the last one of the past.
    """
    # GAP 5
    y, state = model(past, None)
    predicted = [y[:, -1:]]
    for _ in range(steps - 1):
        y, state = model(predicted[-1], state)
        predicted.append(y)
    return torch.cat(predicted, dim=1)
    # END


# %%
def error_by_horizon(predicted, future):
    """Step 6. How the error grows: the root mean squared error over the sequences, for each step ahead.

    predicted, future: tensors of shape (B, steps, 1).
    Returns a tensor of shape (steps,).
    """
    # GAP 6
    return (predicted - future).square().mean(dim=(0, 2)).sqrt()
    # END


# %%
def persistence(past, steps):
    """Step 7. Question: how good is a network? Compare it with a forecast that needs none: the last angle, repeated.

    past: angles, a tensor of shape (B, T, 1).
    steps: number of angles to predict.
    Returns a tensor of shape (B, steps, 1).
    """
    # GAP 7
    # A network is worth something where its error is smaller than this one's.
    return past[:, -1:].repeat(1, steps, 1)
    # END


# %%
if __name__ == "__main__":
    angles, _ = swings(COUNT, PAST + FUTURE, damping=DAMPING)
    x = torch.tensor(angles, dtype=torch.float32)[:, :, None]
    training, test = x[:-200], x[-200:]
    model = Forecaster(HIDDEN)
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE)
    for epoch in range(EPOCHS):
        for batch in torch.randperm(len(training)).split(BATCH_SIZE):
            loss = one_step_loss(model(training[batch])[0], training[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print("epoch", epoch + 1, "loss", loss.item())
    past, future = test[:, :PAST], test[:, PAST:]
    with torch.no_grad():
        for name, predicted in (("LSTM", roll_out(model, past, FUTURE)), ("last angle", persistence(past, FUTURE))):
            print(name, "error 1, 10, 20, 50 steps ahead", error_by_horizon(predicted, future)[[0, 9, 19, 49]].tolist())
