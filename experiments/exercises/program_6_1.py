# %% [markdown]
# # Exercise 6.1: value iteration and Q-learning
#
# An agent swings a pendulum up. Here the pendulum lives on a grid: X states (angle and speed) and A actions (torques).
# Q(s, a) is the discounted return after action a in state s. Bellman's equation says
# Q(s, a) = r + gamma max_a' Q(s', a'), on average over the next states s'. Value iteration knows the rewards and the
# probabilities of the next states. Q-learning does not: it learns from steps.

# %%
import numpy as np

from envs.grid import pendulum_grid  # Balancier's data: the pendulum as a table of rewards and probabilities

GAMMA = 0.95  # discount
EPSILON = 0.3  # share of random actions
STEPS = 300_000  # of Q-learning
EPISODE = 100  # steps


# %%
def discounted_return(rewards, gamma):
    """Step 1. The discounted return of an episode: r_0 + gamma r_1 + gamma^2 r_2 + ...

    rewards: a list of floats.
    gamma: discount, from 0 to 1.
    Returns a float; 0 for an empty list.
    """
    # GAP 1
    total = 0.0
    for reward in reversed(rewards):
        total = reward + gamma * total
    return total
    # END


# %%
def target(reward, next_values, terminated, gamma):
    """Step 2. What Q(s, a) should be after one step, by Bellman's equation.

    reward: r, a float.
    next_values: Q(s', a') of all actions a' in the next state, a NumPy array of shape (A,).
    terminated: True if the episode ended in the next state; nothing follows then.
    gamma: discount.
    Returns a float.
    """
    # GAP 2
    return reward if terminated else reward + gamma * next_values.max()
    # END


# %%
def sweep(q, reward, next_state, probability, gamma):
    """Step 3. One sweep of value iteration: Bellman's equation in all states at once, with the old values on its right.

    q: Q before the sweep, a NumPy array of shape (X, A).
    reward: a NumPy array of shape (X, A).
    next_state: K states that may follow, a NumPy array of whole numbers, shape (X, A, K).
    probability: of each of them, a NumPy array of shape (X, A, K). No episode ends.
    gamma: discount.
    Returns Q after the sweep, a NumPy array of shape (X, A). It does not change q.
    """
    # GAP 3
    values = q.max(axis=1)
    return reward + gamma * (probability * values[next_state]).sum(axis=2)
    # END


# %%
def choose_action(values, epsilon):
    """Step 4. An epsilon-greedy action: a random one with probability epsilon, else the best.

    values: Q(s, a) of all actions, a NumPy array of shape (A,).
    epsilon: from 0 to 1. The random action is any of the A actions, all with the same probability.
    Returns the index of the action, a whole number.
    """
    # GAP 4
    if np.random.rand() < epsilon:
        return np.random.randint(len(values))
    return int(np.argmax(values))
    # END


# %%
def update(q, state, action, reward, next_state, terminated, learning_rate, gamma):
    """Step 5. One update of Q-learning: Q(s, a) moves towards the target of step 2, by the learning rate.

    q: a NumPy array of shape (X, A), which this function changes in place.
    state, action, next_state: whole numbers.
    reward, terminated, gamma: as in step 2; use target.
    learning_rate: eta in Q(s, a) <- Q(s, a) + eta (target - Q(s, a)).
    Returns nothing.
    """
    # GAP 5
    q[state, action] += learning_rate * (target(reward, q[next_state], terminated, gamma) - q[state, action])
    # END


# %%
def greedy_policy(q):
    """Step 6. The best action in every state.

    q: a NumPy array of shape (X, A).
    Returns a NumPy array of whole numbers, shape (X,).
    """
    # GAP 6
    return q.argmax(axis=1)
    # END


# %%
def horizon(gamma):
    """Step 7. Question: how far does an agent with this discount look ahead?

    gamma: discount, from 0 to below 1.
    Returns the discounted return of an endless series of rewards that are all 1, a float. It is about the number of
    steps whose rewards count.
    """
    # GAP 7
    # The sum of the geometric series. With 0.95 an agent looks about 20 steps ahead. The swing-up takes more than 20
    # steps of 0.05 s, so a smaller discount gives worse policies.
    return 1 / (1 - gamma)
    # END


# %%
if __name__ == "__main__":
    grid = pendulum_grid(21, 15, 5)
    reward, next_state, probability = grid.process
    q = np.zeros_like(reward)
    for k in range(200):
        new = sweep(q, reward, next_state, probability, GAMMA)
        change, q = np.abs(new - q).max(), new
        if k % 50 == 49:
            print("sweep of value iteration:", k + 1, "largest change:", change)
    learned, visits = np.zeros_like(q), np.zeros(q.shape)
    for step in range(STEPS):
        if step % EPISODE == 0:
            state = np.random.randint(len(q))
        action = choose_action(learned[state], EPSILON)
        following = next_state[state, action, np.searchsorted(probability[state, action].cumsum(), np.random.rand())]
        visits[state, action] += 1
        rate = visits[state, action] ** -0.7
        update(learned, state, action, reward[state, action], following, False, rate, GAMMA)
        state = following
        if (step + 1) % (STEPS // 5) == 0:
            error = np.sqrt(np.square(learned.max(axis=1) - q.max(axis=1)).mean())
            print("step of Q-learning:", step + 1, "RMS distance from the values of value iteration:", round(error, 2))
    same = (greedy_policy(learned) == greedy_policy(q)).mean()
    print("share of the states in which both policies have the same action:", round(same, 2))
    print("steps that the agent looks ahead:", horizon(GAMMA))
