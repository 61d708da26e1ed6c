# %% [markdown]
# # Exercise 3.4: who survived the Titanic
#
# The data hold a number, the survival, the cabin class, the sex and the fare of 891 passengers. Look at them, prepare
# them for a network, and compute what a classifier is trained and judged with. n is the number of passengers and C that
# of classes.

# %%
import numpy as np
import torch

from experiments.common.titanic_data import load  # Balancier's data: the file, a download, or a reconstruction

HIDDEN = 32
LEARNING_RATE = 1e-3
BATCH_SIZE = 32
EPOCHS = 30


# %%
def count_survivors(survived):
    """Step 1. Question: how many passengers survived?

    survived: a NumPy array of shape (n,): 1 for a passenger who survived, 0 for one who did not.
    Returns how many survived, a whole number.
    """
    # GAP 1
    # 342 of the 891 passengers.
    return int(survived.sum())
    # END


# %%
def statistics(column):
    """Step 2. Simple statistics of a column.

    column: a NumPy array of shape (n,).
    Returns (mean, standard deviation, minimum, maximum), four floats. The standard deviation is the square root of the
    mean squared distance from the mean (divided by n, not by n - 1).
    """
    # GAP 2
    return float(column.mean()), float(column.std()), float(column.min()), float(column.max())
    # END


# %%
def pearson(x, y):
    """Step 3. Pearson's correlation of two columns.

    With dx = x - mean of x and dy = y - mean of y, it is R(x, y) = sum(dx dy) / (sqrt(sum(dx^2)) sqrt(sum(dy^2))).

    x, y: NumPy arrays of shape (n,).
    Returns a float between -1 and 1. Write the formula; np.corrcoef is for checking it.
    """
    # GAP 3
    dx, dy = x - x.mean(), y - y.mean()
    return (dx * dy).sum() / np.sqrt((dx**2).sum() * (dy**2).sum())
    # END


# %%
def correlation_matrix(table):
    """Step 4. The correlations of all pairs of columns.

    table: a NumPy array of shape (n, k), one column for each variable.
    Returns a NumPy array of shape (k, k); entry [i, j] is Pearson's R of the columns i and j.
    """
    # GAP 4
    k = table.shape[1]
    return np.array([[pearson(table[:, i], table[:, j]) for j in range(k)] for i in range(k)])
    # END


# %%
def useless_column(names, correlations):
    """Step 5. Question: which column says nothing about the survival, so that a network should not read it?

    names: a list of k names, among them "survived".
    correlations: the correlation matrix of these columns, a NumPy array of shape (k, k).
    Returns the name of the column whose correlation with "survived" is nearest to 0.
    """
    # GAP 5
    # p_id. Every passenger has another number, so a network that reads it can learn the survivors of the training data
    # by heart, and knows nothing about new passengers.
    row = np.abs(correlations[names.index("survived")])
    return names[int(np.argmin(row))]
    # END


# %%
def normalize(column):
    """Step 6. Move and stretch a column so that its mean is 0 and its standard deviation 1.

    column: a NumPy array of shape (n,).
    Returns a NumPy array of shape (n,).
    """
    # GAP 6
    mean, std, _, _ = statistics(column)
    return (column - mean) / std
    # END


# %%
def one_hot(column, values):
    """Step 7. Encode a class as a vector that is 1 at the place of the class and 0 elsewhere.

    column: classes, a NumPy array of shape (n,).
    values: a list of the C classes that there are, such as [1, 2, 3].
    Returns a NumPy array of floats of shape (n, C); column c belongs to values[c].
    """
    # GAP 7
    return (column[:, None] == np.array(values)).astype(float)
    # END


# %%
def make_inputs(cabin_class, female, fare):
    """Step 8. The inputs of the network.

    cabin_class: 1, 2 or 3; female: 0 or 1; fare: in pounds; NumPy arrays of shape (n,).
    Returns a NumPy array of shape (n, 6) with these columns in this order: the normalized fare; the cabin class,
    one-hot for [1, 2, 3]; female, one-hot for [0, 1]. Use normalize and one_hot.
    """
    # GAP 8
    return np.concatenate([normalize(fare)[:, None], one_hot(cabin_class, [1, 2, 3]), one_hot(female, [0, 1])], axis=1)
    # END


# %%
def probabilities(outputs):
    """Step 9. The probability of each class: P(i | x) = exp(y_i) / sum over c of exp(y_c).

    outputs: outputs y of a network, a tensor of shape (n, C).
    Returns a tensor of shape (n, C); every row adds up to 1.
    """
    # GAP 9
    powers = outputs.exp()
    return powers / powers.sum(dim=1, keepdim=True)
    # END


# %%
def cross_entropy(outputs, classes):
    """Step 10. The loss: the mean of -log P(c | x) over the passengers, where c is the true class of each.

    outputs: outputs of a network, a tensor of shape (n, C).
    classes: true classes, a tensor of whole numbers from 0 to C - 1, shape (n,).
    Returns a tensor with one number that can be differentiated. Use probabilities.
    """
    # GAP 10
    p = probabilities(outputs)
    return -p[torch.arange(len(p)), classes].log().mean()
    # END


# %%
def predict(outputs):
    """Step 11. The predicted class, and the confidence of the network in it.

    outputs: outputs of a network, a tensor of shape (n, C).
    Returns (classes, confidences), two tensors of shape (n,): the class with the largest output, a whole number from 0
    to C - 1, and its probability. Use probabilities.
    """
    # GAP 11
    confidences, classes = probabilities(outputs).max(dim=1)
    return classes, confidences
    # END


# %%
def accuracy(outputs, classes):
    """Step 12. The share of right predictions. It has no useful derivative, so the loss is minimized instead.

    outputs: outputs of a network, a tensor of shape (n, C).
    classes: true classes, a tensor of shape (n,).
    Returns a float from 0 to 1. Use predict.
    """
    # GAP 12
    predicted, _ = predict(outputs)
    return (predicted == classes).float().mean().item()
    # END


# %%
if __name__ == "__main__":
    passengers = load("auto")
    names = ["p_id", "survived", "cabin_class", "female", "fare"]
    print("data:", passengers.source, "survivors:", count_survivors(passengers.survived))
    print("fare: mean, standard deviation, minimum, maximum", statistics(passengers.fare))
    correlations = correlation_matrix(passengers.table)
    print(np.round(correlations, 2), "leave out", useless_column(names, correlations))
    x = torch.tensor(make_inputs(passengers.cabin_class, passengers.female, passengers.fare), dtype=torch.float32)
    y = torch.tensor(passengers.survived)
    order = torch.randperm(len(x))
    training, validation = order[:700], order[700:]
    network = torch.nn.Sequential(torch.nn.Linear(6, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, 2))
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    for _ in range(EPOCHS):
        for batch in training[torch.randperm(len(training))].split(BATCH_SIZE):
            loss = cross_entropy(network(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    for name, part in (("training accuracy", training), ("validation accuracy", validation)):
        print(name, accuracy(network(x[part]), y[part]))
