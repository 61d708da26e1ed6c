"""The checks of exercise 6.1. The expected values are worked out with other formulas than those of the solution."""

from typing import Any

import numpy as np

from balancier import _
from experiments.exercises.checking import (
    Step,
    Wrong,
    call_words,
    check_call,
    check_share,
    compare,
    results,
    to_array,
    words,
)

RNG = np.random.default_rng(61)
MANY = 20_000


def check_return(student: Any) -> None:
    for rewards, gamma in (([1.0, 2.0, 3.0], 0.5), ([], 0.9), ([-1.0] * 7, 1.0), (list(RNG.normal(0, 1, 9)), 0.95)):
        right = float(np.sum(np.array(rewards) * gamma ** np.arange(len(rewards))))
        check_call(student, "discounted_return", (rewards, gamma), right)


def check_target(student: Any) -> None:
    for terminated in (False, True):
        for values in (np.array([1.0, -2.0]), np.array([-5.0, -3.0, -4.0])):
            right = -0.5 + 0.9 * np.sort(values)[-1] * (not terminated)
            check_call(student, "target", (-0.5, values, terminated, 0.9), right)


def check_sweep(student: Any) -> None:
    for states, actions, ways in ((3, 2, 1), (5, 3, 4)):
        q, reward = RNG.normal(0, 3, (states, actions)), RNG.normal(0, 1, (states, actions))
        following = RNG.integers(0, states, (states, actions, ways))
        probability = RNG.dirichlet(np.ones(ways), (states, actions))
        right = reward.copy()
        for s, a, k in np.ndindex(states, actions, ways):
            right[s, a] += 0.9 * probability[s, a, k] * max(q[following[s, a, k]])
        before = q.copy()
        call = call_words("sweep", q, reward, following, probability, 0.9)
        compare(call, student.sweep(q, reward, following, probability, 0.9), right)
        if not np.array_equal(q, before):
            raise Wrong(_("a changed q"), _("a new array; q stays as it was"), call)


def check_action(student: Any) -> None:
    for values in (np.array([0.1, 0.7, -0.2]), np.array([-3.0, -4.0, -5.0, -1.0])):
        best, count = int(np.argmax(values)), len(values)
        for epsilon in (0.0, 0.3, 1.0):
            call, found = results(student, "choose_action", values, epsilon)
            drawn = [found, *(student.choose_action(values, epsilon) for _draw in range(MANY if epsilon else 20))]
            index = to_array(found, _("the index of an action"), call)
            if index.size != 1 or index.dtype.kind not in "iu":
                raise Wrong(words(found), _("the index of an action, a whole number"), call)
            shares = np.bincount(np.array([int(each) for each in drawn]).clip(-1, count) + 1, minlength=count + 2)
            if shares[0] or shares[-1]:
                raise Wrong(words(min(drawn) if shares[0] else max(drawn)), _("an index from 0 to A - 1"), call)
            for action in range(count):
                right = epsilon / count + (1 - epsilon) * (action == best)
                name = _("action {action} in a share of", action=action)
                check_share(call, name, shares[action + 1] / len(drawn), right, 0.025 if epsilon else 0)


def check_update(student: Any) -> None:
    for terminated in (False, True):
        q = RNG.normal(0, 3, (4, 3))
        right = q.copy()
        right[2, 1] = 0.75 * q[2, 1] + 0.25 * (-1.5 + 0.9 * (not terminated) * max(q[3]))
        call = call_words("update", q, 2, 1, -1.5, 3, terminated, 0.25, 0.9)
        changed = q.copy()
        returned = student.update(changed, 2, 1, -1.5, 3, terminated, 0.25, 0.9)
        if np.array_equal(changed, q) and returned is not None:  # a new table instead
            changed = returned
        compare(_("q after {call}", call=call), changed, right)


def check_policy(student: Any) -> None:
    for shape in ((3, 2), (6, 5)):
        q = RNG.normal(-2, 1, shape)
        check_call(student, "greedy_policy", (q,), np.array([list(row).index(max(row)) for row in q]))


def check_horizon(student: Any) -> None:
    for gamma in (0.0, 0.5, 0.95, 0.99):
        check_call(student, "horizon", (gamma,), float(np.sum(gamma ** np.arange(5_000.0))))


STEPS = (
    Step(
        "discounted_return",
        check_return,
        _("a float"),
        _("Go through the rewards from the last to the first: total = reward + gamma * total."),
    ),
    Step(
        "target",
        check_target,
        _("a float"),
        _("After the end of an episode there is no next action, so the target is the reward alone."),
    ),
    Step(
        "sweep",
        check_sweep,
        _("an array of shape (X, A)"),
        _("Take the best value of every state first. values[next_state] has the shape (X, A, K)."),
    ),
    Step(
        "choose_action",
        check_action,
        _("the index of an action, a whole number"),
        _("np.random.rand() < epsilon is true with probability epsilon; np.random.randint(A) is any of A actions."),
    ),
    Step(
        "update",
        check_update,
        _("q with one changed entry"),
        _("q[state, action] += ... changes the table in place; the values for target are those of next_state."),
    ),
    Step(
        "greedy_policy",
        check_policy,
        _("an array of whole numbers, shape (X,)"),
        _("argmax along the axis of the actions."),
    ),
    Step(
        "horizon",
        check_horizon,
        _("a float"),
        _("The geometric series 1 + gamma + gamma^2 + ... has a short formula."),
    ),
)
