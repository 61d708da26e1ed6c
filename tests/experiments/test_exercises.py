"""Exercises: the solution is right, each broken step is told at that step alone, and other right ways are accepted."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments import __main__ as cli
from experiments.exercises import checking, runner, sources, worker
from experiments.exercises.sources import EXERCISES

HOME = Path(__file__).parents[2]


def problems(exercise, program):
    """The steps that are not right, by their number, with what is told about them; in this process."""
    problem, student = worker.guarded(lambda: worker.new_module("student", program, "student.py"), "student.py")
    assert problem is None, problem
    solved = worker.new_module("solution", sources.solution(exercise), "solution.py")
    steps = exercise.steps
    found = {n: worker.check_step(step, n - 1, student, solved, steps) for n, step in enumerate(steps, 1)}
    return {number: problem for number, problem in found.items() if problem}


# exercise -> (step, code of the solution, wrong code instead)
WRONG = {
    "3.a": [
        (1, "uniform(0, 1, count)", "uniform(0, 2, count)"),
        (1, "np.random.uniform(0, 1, count)", "np.random.beta(2, 2, count)"),
        (1, "np.random.uniform(0, 1, count)", "np.linspace(0, 1, count)"),
        (1, "np.random.uniform(0, 1, count)", "np.random.uniform(0, 1, (count, 1))"),
        (1, "np.random.uniform(0, 1, count)", "np.random.uniform(0, 1, 30)"),
        (2, "np.sin(2 * np.pi * x)", "np.sin(np.pi * x)"),
        (2, "np.random.normal(0, std, len(x))", "np.random.normal(0, std)"),
        (2, "np.random.normal(0, std, len(x))", "np.random.normal(0, std**2, len(x))"),
        (2, "np.random.normal(0, std, len(x))", "np.random.uniform(-std * 3**0.5, std * 3**0.5, len(x))"),
        (2, "np.random.normal(0, std, len(x))", "np.random.normal(0, 0.1, len(x))"),
        (2, "np.random.normal(0, std, len(x))", "np.random.normal(std, std, len(x))"),
        (3, 'plt.plot(x, y, "o", ', "plt.plot(x, y, "),
        (3, "plt.plot(x, y,", "plt.plot(y, x,"),
        (3, 'plt.ylabel("y")', "pass"),
        (3, "plt.legend()", "pass"),
    ],
    "3.a-2": [
        (1, "torch.arange(len(theta))", "torch.arange(len(theta)).flip(0)"),
        (1, "torch.arange(len(theta))", "torch.arange(1, len(theta) + 1)"),
        (1, "powers @ theta", "powers @ theta.detach()"),
        (2, "(error * error).mean()", "(error * error).sum()"),
        (2, "(error * error).mean()", "error.abs().mean()"),
        (2, "(error * error).mean()", "(error * error).mean().item()"),
        (3, "torch.autograd.grad(loss, theta)[0]", "torch.autograd.grad(loss, theta)"),
        (3, "torch.autograd.grad(loss, theta)[0]", "-torch.autograd.grad(loss, theta)[0]"),
        (4, "theta - step", "theta + step"),
        (4, "range(iterations)", "range(iterations - 1)"),
        (4, "torch.zeros(order + 1,", "torch.zeros(order,"),
        (4, "torch.zeros(order + 1,", "torch.ones(order + 1,"),
        (5, "return 2\n", "return 0.5\n"),
        (6, "predict(x_test, theta), y_test", "predict(x, theta), y"),
        (6, "theta = descend(x, y,", "theta = descend(x_test, y_test,"),
        (7, "orders[int(np.argmin(losses))]", "orders[int(np.argmax(losses))]"),
        (7, "orders[int(np.argmin(losses))]", "int(np.argmin(losses))"),
        (7, "orders[int(np.argmin(losses))]", "max(orders)"),
    ],
    "3.b": [
        (1, "torch.rand(count) * 3 + 1", "torch.rand(count) * 4"),
        (1, "x2**3", "x2**2"),
        (1, "torch.randn(count, 2)", "torch.randn(count, 1)"),
        (1, "torch.randn(count, 2)", "torch.rand(count, 2)"),
        (2, "torch.relu(self.first(x))", "torch.tanh(self.first(x))"),
        (2, "self.second(torch.relu(self.first(x)))", "torch.relu(self.second(self.first(x)))"),
        (2, "torch.nn.Linear(n_in, hidden)", "torch.nn.Linear(n_in, hidden, bias=False)"),
        (3, "return hidden, n_out", "return n_in, hidden"),
        (4, "torch.randperm(count)", "torch.arange(count)"),
        (4, "torch.randperm(count)", "torch.randint(count, (count,))"),
        (4, "torch.randperm(count).split(batch_size)", "torch.randperm(count)[: count // batch_size * batch_size]"),
        (5, "        optimizer.zero_grad()\n        loss.backward()", "        loss.backward()"),
        (5, "        optimizer.step()\n    # END", "    optimizer.step()\n    # END"),
        (5, "        loss.backward()\n        optimizer.step()\n    # END", "    # END"),
        (5, "mse_loss(model(x[indices]), y[indices])", "mse_loss(model(x), y)"),
        (5, "mse_loss(model(x[indices]), y[indices])", "mse_loss(model(x[indices]), y[indices], reduction='sum')"),
        (6, "epoch < 350", "epoch <= 350"),
        (7, "std**2", "std"),
        (7, "std**2", "0.0"),
    ],
    "3.4": [
        (1, "int(survived.sum())", "len(survived)"),
        (2, "float(column.std())", "float(column.std(ddof=1))"),
        (2, "float(column.min()), float(column.max())", "float(column.max()), float(column.min())"),
        (3, "(dx**2).sum() * (dy**2).sum()", "(dx**2).sum() + (dy**2).sum()"),
        (3, "x - x.mean(), y - y.mean()", "x, y"),
        (4, "pearson(table[:, i], table[:, j])", "float(i == j)"),
        (4, "table.shape[1]", "table.shape[0]"),
        (5, "np.abs(correlations[", "(correlations["),
        (5, "np.argmin(row)", "np.argmax(row)"),
        (6, "(column - mean) / std", "column / std"),
        (6, "(column - mean) / std", "(column - mean) / std**2"),
        (7, "(column[:, None] == np.array(values))", "(column[:, None] == np.sort(values))"),
        (7, "(column[:, None] == np.array(values)).astype(float)", "np.eye(len(column))"),
        (8, "normalize(fare)[:, None]", "fare[:, None]"),
        (8, "one_hot(female, [0, 1])", "female[:, None]"),
        (9, "powers.sum(dim=1, keepdim=True)", "powers.sum()"),
        (9, "outputs.exp()", "outputs.abs()"),
        (10, ".log().mean()", ".mean()"),
        (10, ".log().mean()", ".log().sum()"),
        (10, ".log().mean()", ".log().mean().detach()"),
        (11, "return classes, confidences", "return confidences, classes"),
        (12, ".float().mean().item()", ".sum().item()"),
        (12, "predicted == classes", "predicted != classes"),
    ],
    "4.1": [
        (1, "torch.tanh(x @ W_x.T + h @ W_h.T + b)", "torch.relu(x @ W_x.T + h @ W_h.T + b)"),
        (1, "h @ W_h.T", "h @ W_h"),
        (1, " + b)\n", ")\n"),
        (2, "range(x.shape[1])", "range(x.shape[1] - 1)"),
        (2, "elman_step(x[:, t], h,", "elman_step(x[:, t], 0 * h,"),
        (2, "range(x.shape[1])", "reversed(range(x.shape[1]))"),
        (3, "batch_first=True", "batch_first=False"),
        (3, "states[:, -1]", "states[:, 0]"),
        (3, "states[:, -1]", "states.mean(1)"),
        (3, "torch.nn.RNN(", "torch.nn.GRU("),
        (3, "n_in, hidden, batch_first=True", "n_in, hidden, batch_first=True, nonlinearity='relu'"),
        (4, "(steps * n_in + 1)", "(n_in + 1)"),
        (5, "(n_in + hidden + 1) * hidden", "steps * (n_in + hidden + 1) * hidden"),
        (6, "mean(dim=0)", "mean(dim=1)"),
        (6, ".mean(dim=0).sqrt()", ".mean(dim=0)"),
        (6, "mean(dim=0)", "mean()"),
        (7, "damping > 0", "True"),
        (7, "damping > 0", "damping == 0"),
    ],
    "4.1-2": [
        (1, "len(series) - length + 1)", "len(series) - length)"),
        (1, "range(len(series) - length + 1)", "range(0, len(series) - length + 1, length)"),
        (2, "z_i, z_f, z_g, z_o = (", "z_f, z_i, z_g, z_o = ("),
        (2, "torch.sigmoid(z_i) * torch.tanh(z_g)", "torch.sigmoid(z_i) * z_g"),
        (2, "torch.sigmoid(z_o) * torch.tanh(c), c", "torch.sigmoid(z_o) * c, c"),
        (3, "batch_first=True", "batch_first=False"),
        (3, "self.memory(x, state)", "self.memory(x)"),
        (3, "self.memory(x, state)", "self.memory(x.flip(1), state)"),
        (3, "torch.nn.LSTM(1,", "torch.nn.GRU(1,"),
        (3, "return self.answer(outputs), state", "return self.answer(outputs)"),
        (4, "y[:, :-1] - x[:, 1:]", "y - x"),
        (4, "y[:, :-1] - x[:, 1:]", "y[:, 1:] - x[:, :-1]"),
        (5, "range(steps - 1)", "range(steps)"),
        (5, "model(predicted[-1], state)", "model(predicted[-1], None)"),
        (5, "model(predicted[-1], state)", "model(past[:, -1:], state)"),
        (6, "mean(dim=(0, 2))", "mean(dim=(1, 2))"),
        (6, ".square().mean(dim=(0, 2))", ".abs().mean(dim=(0, 2))"),
        (7, "past[:, -1:]", "past[:, :1]"),
        (7, ".repeat(1, steps, 1)", ""),
    ],
    "5.3": [
        (1, "(kernel * picture[", "(kernel[::-1, ::-1] * picture["),
        (1, "picture.shape[1] - k + 1", "picture.shape[1] - k"),
        (2, "// stride + 1", "// stride"),
        (2, "2 * padding", "padding"),
        (2, "// stride + 1", "/ stride + 1"),
        (3, "squares.max(axis=(1, 3))", "squares.mean(axis=(1, 3))"),
        (3, "picture[: height * size, : width * size]", "np.maximum(picture[: height * size, : width * size], 0)"),
        (4, "(channels_in * kernel * kernel + 1)", "(kernel * kernel + 1)"),
        (4, "(channels_in * kernel * kernel + 1)", "channels_in * kernel * kernel"),
        (5, "(height * width * channels_in + 1)", "(height * width + 1)"),
        (6, "max_pool2d(", "avg_pool2d("),
        (6, "torch.relu(layer(x))", "layer(x)"),
        (6, "channels_in, 16, 3, padding=1", "channels_in, 16, 3"),
        (6, "torch.nn.Conv2d(16, 32, 3, padding=1)", "torch.nn.Conv2d(16, 32, 5, padding=2)"),
        (7, "moved[:, pixels:] = picture[:, : picture.shape[1] - pixels]", "moved[:] = np.roll(picture, pixels, 1)"),
        (7, "picture[:, : picture.shape[1] - pixels]", "picture[:, :-pixels]"),
    ],
    "6.1": [
        (1, "reversed(rewards)", "rewards"),
        (1, "gamma * total", "total"),
        (2, "if terminated else", "if not terminated else"),
        (2, "next_values.max()", "next_values.mean()"),
        (2, "reward if terminated else reward + gamma", "reward + gamma"),
        (3, "q.max(axis=1)", "q.mean(axis=1)"),
        (3, "(probability * values[next_state]).sum(axis=2)", "values[next_state].mean(axis=2)"),
        (3, "    return reward + gamma * (", "    q[:] = 0\n    return reward + gamma * ("),
        (4, "np.random.rand() < epsilon", "np.random.rand() > epsilon"),
        (4, "np.random.randint(len(values))", "np.random.randint(len(values) - 1)"),
        (4, "np.argmax(values)", "np.argmin(values)"),
        (5, "- q[state, action])", ")"),
        (5, "q[next_state]", "q[state]"),
        (5, "q[state, action] += learning_rate", "q[state, action] = learning_rate"),
        (6, "argmax(axis=1)", "argmax(axis=0)"),
        (6, "argmax(axis=1)", "max(axis=1)"),
        (7, "1 / (1 - gamma)", "gamma / (1 - gamma)"),
    ],
}

# exercise -> (code of the solution, other right code)
RIGHT = {
    "3.a": [
        ("np.random.uniform(0, 1, count)", "np.random.default_rng().random(count)"),
        ("np.random.uniform(0, 1, count)", "[np.random.rand() for _ in range(count)]"),
        ('plt.plot(x, y, "o", label="noisy points")', 'plt.scatter(x, y, label="points")'),
        (
            'plt.plot(x, y, "o", label="noisy points")',
            'plt.plot(np.sort(x), x); plt.plot(x, y, ls="", marker="+", label="a")',
        ),
        ("plt.legend()", "plt.legend()\n    plt.show()"),
    ],
    "3.a-2": [
        ("return powers @ theta", "return sum(theta[i] * x**i for i in range(len(theta)))"),
        ("(error * error).mean()", "torch.nn.functional.mse_loss(y_hat, y)"),
        ("torch.autograd.grad(loss, theta)[0]", "(loss.backward(), theta.grad)[1]"),
        ("return losses", "return torch.tensor(losses)"),
        ("orders[int(np.argmin(losses))]", "min(zip(losses, orders))[1]"),
    ],
    "3.b": [
        ("torch.relu(self.first(x))", "self.first(x).clamp(min=0)"),
        ("list(torch.randperm(count).split(batch_size))", "torch.randperm(count).split(batch_size)"),
        (
            "list(torch.randperm(count).split(batch_size))",
            "[a.tolist() for a in torch.randperm(count).split(batch_size)]",
        ),
        (
            "torch.nn.functional.mse_loss(model(x[indices]), y[indices])",
            "((y[indices] - model(x[indices])) ** 2).mean()",
        ),
        ("minibatches(len(x), batch_size)", "torch.utils.data.DataLoader(range(len(x)), batch_size, shuffle=True)"),
        ("return hidden, n_out", "return [hidden, n_out]"),
    ],
    "3.4": [
        ("int(survived.sum())", "sum(survived)"),
        ("powers / powers.sum(dim=1, keepdim=True)", "torch.softmax(outputs, dim=1)"),
        ("-p[torch.arange(len(p)), classes].log().mean()", "torch.nn.functional.cross_entropy(outputs, classes)"),
        ("(column[:, None] == np.array(values)).astype(float)", "[[int(c == v) for v in values] for c in column]"),
        ("return classes, confidences", "return outputs.argmax(1).numpy(), confidences.detach().numpy()"),
    ],
    "4.1": [
        ("torch.tanh(x @ W_x.T", "torch.tanh(torch.einsum('hf,bf->bh', W_x, x)"),
        ("return self.answer(states[:, -1])", "return self.answer(self.memory(x)[1][0])"),
        ("return damping > 0", "return np.bool_(damping != 0)"),
    ],
    "4.1-2": [
        (
            "torch.stack([series[i : i + length] for i in range(len(series) - length + 1)])",
            "series.unfold(0, length, 1)",
        ),
        ("repeat(1, steps, 1)", "expand(-1, steps, -1)"),
    ],
    "5.3": [
        ("x.flatten(1)", "x.reshape(len(x), -1)"),
        ("squares.max(axis=(1, 3))", "squares.transpose(0, 2, 1, 3).reshape(height, width, -1).max(2)"),
    ],
    "6.1": [
        ("q.argmax(axis=1)", "[int(np.argmax(row)) for row in q]"),
        ("total = 0.0", "total = 0"),
        ("1 / (1 - gamma)", "sum(gamma**k for k in range(5000))"),
        ("return np.random.randint(len(values))", "return np.random.choice(len(values))"),
    ],
}


def edited(exercise, old, new):
    source = sources.read_source(exercise)
    assert source.count(old) >= 1, old
    return source.replace(old, new, 1)


@pytest.mark.parametrize("name", EXERCISES)
def test_the_solution_is_right_and_the_gaps_are_not(name):
    exercise = EXERCISES[name]
    assert problems(exercise, sources.solution(exercise)) == {}
    unfilled = problems(exercise, sources.with_gaps(exercise))
    assert list(unfilled) == list(range(1, len(exercise.steps) + 1))
    assert {problem["found"] for problem in unfilled.values()} == {"a gap that is not filled yet"}
    assert all(step.hint.endswith(".") or step.hint.endswith("?") for step in exercise.steps)


@pytest.mark.parametrize("name", EXERCISES)
def test_a_broken_step_is_told_at_that_step_alone(name):
    exercise = EXERCISES[name]
    assert {number for number, *_ in WRONG[name]} == set(range(1, len(exercise.steps) + 1))
    for number, old, new in WRONG[name]:
        told = problems(exercise, edited(exercise, old, new))
        assert list(told) == [number], (number, old, new, told)
        assert told[number]["found"], (old, new)


@pytest.mark.parametrize("name", EXERCISES)
def test_other_right_ways_are_accepted(name):
    for old, new in RIGHT[name]:
        program = edited(EXERCISES[name], old, new)
        assert problems(EXERCISES[name], "import numpy as np\n" + program) == {}, (old, new)


@pytest.mark.parametrize("name", EXERCISES)
def test_a_function_that_returns_nothing_or_a_text_is_told_so(name):
    exercise = EXERCISES[name]
    for value in ("None", "'text'", "lambda: 0", "object()"):
        replaced = "".join(f"\n{step.name} = lambda *_: {value}\n" for step in exercise.steps)
        told = problems(exercise, sources.solution(exercise) + replaced)
        silent = {"draw", "train_epoch", "update"}  # they return nothing, and are told that they do nothing
        assert list(told) == list(range(1, len(exercise.steps) + 1)), value
        for step, problem in zip(exercise.steps, told.values(), strict=True):
            expected = "None: does the function return" if value == "None" else ""
            assert expected in problem["found"] or step.name in silent, (step.name, problem)


def test_the_programs_differ_only_in_the_gaps():
    for exercise in EXERCISES.values():
        student, solved = (ast.parse(text) for text in (sources.with_gaps(exercise), sources.solution(exercise)))
        assert [getattr(node, "name", "") for node in student.body] == [
            getattr(node, "name", "") for node in solved.body
        ]
        texts = [
            [ast.get_docstring(node) for node in tree.body if isinstance(node, ast.FunctionDef)]
            for tree in (student, solved)
        ]
        assert texts[0] == texts[1]
        assert sources.with_gaps(exercise).count("raise NotImplementedError") >= len(exercise.steps)
        assert "GAP" not in sources.solution(exercise)
        imported = {name.name for node in ast.walk(student) if isinstance(node, ast.Import) for name in node.names}
        assert imported <= {"numpy", "torch", "matplotlib.pyplot"}


def test_every_text_of_a_program_goes_through_one_function():
    for exercise in EXERCISES.values():
        source = sources.read_source(exercise)
        assert sources.translated(source) == source
        ast.parse(sources.translated(source, lambda text: "\n".join(f"⟦{line}⟧" for line in text.split("\n"))))
    brackets = sources.translated('x = 1  # one\n# two\n"""three\n"""\n', "<{}>".format)
    assert brackets == 'x = 1  # <one>\n# <two>\n"""<three>\n"""\n'


def test_a_notebook_holds_the_same_program(tmp_path):
    for exercise in EXERCISES.values():
        program = sources.with_gaps(exercise)
        path = tmp_path / "a.ipynb"
        path.write_text(sources.to_notebook(program), encoding="utf-8")
        code = sources.read_program(path).decode()
        assert ast.dump(ast.parse(code)) == ast.dump(ast.parse(program))
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert notebook["cells"][0]["cell_type"] == "markdown"
    assert notebook["cells"][0]["source"][0] == "# Exercise 6.1: value iteration and Q-learning\n"
    notebook["cells"].append({"cell_type": "code", "source": ["%matplotlib inline\n", "!pip list\n", "x = 5 % 2"]})
    path.write_text(json.dumps(notebook), encoding="utf-8")
    assert ast.parse(sources.read_program(path))


def test_a_notebook_is_one_for_jupyter(tmp_path):
    nbformat = pytest.importorskip("nbformat")
    for exercise in EXERCISES.values():
        nbformat.validate(nbformat.reads(sources.to_notebook(sources.with_gaps(exercise)), as_version=4))


SHORTER = ((r"EPOCHS = \d+", "EPOCHS = 1"), (r"STEPS = 300_000", "STEPS = 500"), (r", (2000|5000)\)", ", 20)"))
SHORTER += ((r'load\("auto"\)', 'load("reconstructed")'), (r"COUNT, (STEPS|PAST)(.*) = \d+", r"COUNT, \1\2 = 600"))


@pytest.mark.parametrize("name", EXERCISES)
def test_a_solution_runs(name, capsys):
    program = sources.solution(EXERCISES[name])
    for old, new in SHORTER:
        program = re.sub(old, new, program)
    exec(compile(program, "solution.py", "exec"), {"__name__": "__main__"})
    assert "nan" not in capsys.readouterr().out or name == "3.a-2"  # which tries a rate that is too large


def command(capsys, *arguments):
    status = cli.main(list(arguments))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_an_exercise_is_written_but_over_no_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    status, out, _ = command(capsys, "exercise", "3.a")
    assert status == 0
    assert "Next: fill the gaps, then balancier check 3.a\n" in out
    path = tmp_path / "exercise_3_a.py"
    assert path.read_text(encoding="utf-8") == sources.with_gaps(EXERCISES["3.a"])
    path.write_text("mine")
    status, _, err = command(capsys, "exercise", "3.a")
    assert (status, path.read_text()) == (2, "mine")
    assert err == (
        "balancier exercise: --out: found the file exercise_3_a.py, expected a name not yet taken, or --overwrite\n"
    )
    assert command(capsys, "exercise", "3.a", "--overwrite")[0] == 0
    assert "NotImplementedError" in path.read_text()
    assert command(capsys, "exercise", "4.1-2", "--notebook")[0] == 0
    assert json.loads((tmp_path / "exercise_4_1_2.ipynb").read_text(encoding="utf-8"))["nbformat"] == 4
    assert command(capsys, "solution", "3.a", "--out", "dir é/a.py")[0] == 2
    (tmp_path / "dir é").mkdir()
    assert command(capsys, "solution", "3.a", "--out", "dir é/a.py")[0] == 0
    assert (tmp_path / "dir é" / "a.py").read_text(encoding="utf-8") == sources.solution(EXERCISES["3.a"])
    assert command(capsys, "solution", "3.a")[1] == sources.solution(EXERCISES["3.a"])
    assert command(capsys, "solution", "3.a", "--out", "s.ipynb")[0] == 0
    assert json.loads((tmp_path / "s.ipynb").read_text(encoding="utf-8"))["cells"]


def test_the_list_names_every_exercise(capsys):
    status, out, _ = command(capsys, "exercise")
    assert status == 0
    for exercise in EXERCISES.values():
        assert f" {exercise.name} " in out


def test_the_page_lists_the_same_exercises():
    page = (HOME / "docs" / "exercises.md").read_text(encoding="utf-8")
    for exercise in EXERCISES.values():
        assert f"\n| {exercise.name} | {exercise.title} | {len(exercise.steps)} |\n" in page


IDS = "3.a, 3.a-2, 3.b, 3.4, 4.1, 4.1-2, 5.3, 6.1"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("exercise", "9"), f"exercise: id: found 9, expected one of {IDS}"),
        (("exercise", "--notebook"), f"exercise: id: found nothing, expected one of {IDS}"),
        (("solution",), f"solution: id: found nothing, expected one of {IDS}"),
        (("check",), f"check: id: found nothing, expected one of {IDS}"),
        (("check", "3.a", "no.py"), "check: file: found nothing at no.py, expected a program"),
        (("check", "3.a", "."), "check: file: found a folder at ., expected a program"),
        (("check", "3.a", "no.ipynb"), "check: file: found nothing at no.ipynb, expected a program"),
        (
            ("check", "3.a"),
            "check: file: found no exercise_3_a.py, expected it here (balancier exercise 3.a), or a FILE",
        ),
        (("exercise", "3.a", "--out", "."), "exercise: --out: found the folder ., expected the name of a file"),
        (("exercise", "3.a", "--out", "no/a.py"), "exercise: no/a.py: No such file or directory"),
        (
            ("exercise", "3.a", "--out", "a.py", "--notebook"),
            "exercise: --out: found a.py with --notebook, expected a name that ends with .ipynb",
        ),
    ],
)
def test_bad_input_is_told_in_one_line(arguments, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command(capsys, *arguments) == (2, "", f"balancier {expected}\n")
    assert not list(tmp_path.iterdir())


def test_two_files_or_a_broken_notebook_are_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for ending in ("py", "ipynb"):
        (tmp_path / f"exercise_3_a.{ending}").write_text("x")
    status, _, err = command(capsys, "check", "3.a")
    assert (status, "found exercise_3_a.py and exercise_3_a.ipynb, expected the one to check" in err) == (2, True)
    status, _, err = command(capsys, "check", "3.a", "exercise_3_a.ipynb")
    assert (status, "which is no notebook" in err) == (2, True)


BAD = """
import os, sys, time
def make_inputs(count):
    {first}
def make_outputs(x, std):
    {second}
def draw(x, y):
    {third}
"""


def check_command(tmp_path, text, *more):
    path = tmp_path / "my file é.py"
    path.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "experiments", "check", "3.a", str(path), *more]
    done = subprocess.run(command, cwd=HOME, capture_output=True, text=True, check=False, encoding="utf-8")
    assert done.stderr == ""
    return done.returncode, done.stdout


@pytest.mark.slow
def test_a_file_that_does_anything_is_told_so_at_each_step(tmp_path):
    stubborn = "while True:\n        try: time.sleep(1)\n        except: pass"  # cannot be interrupted
    text = BAD.format(first=stubborn, second="os._exit(7)", third="plt.nothing()")
    status, out = check_command(tmp_path, text)
    assert status == 1
    assert "step 1, make_inputs: not yet\n    found: no end after 8 seconds\n" in out
    assert "step 2, make_outputs: not yet\n    found: the program ended its process, with status 7\n" in out
    assert "step 3, draw: not yet\n    found: NameError in line 10, plt.nothing(): name 'plt' is not defined" in out
    assert out.count("    hint: ") == 3
    assert "0 of 3 steps are right" in out


def test_what_a_step_does_wrong_is_told_in_plain_words():
    def told(first):
        return problems(EXERCISES["3.a"], BAD.format(first=first, second="pass", third="pass"))[1]["found"]

    assert told("while True: print('x' * 1000)") == "more than 1,000,000 printed characters"
    assert told("while True:\n        try: os.write; print('x' * 9999)\n        except Exception: pass") == (
        "more than 1,000,000 printed characters"
    )
    assert told("sys.exit(0)") == "exit(): the program ends itself"
    assert told("exit()") == "exit(): the program ends itself"
    assert told("return 1 / 0") == "ZeroDivisionError in line 4: division by zero"
    assert told("return make_inputs(count)").startswith("RecursionError in line 4")
    assert told("return input()").startswith(("EOFError", "OSError"))
    assert told("raise KeyboardInterrupt").startswith("KeyboardInterrupt in line 4")
    assert told("raise NotImplementedError") == "NotImplementedError in line 4: "
    assert told("return [[1], [2, 3]]") == "lists of unequal lengths"
    assert told("return {1: 2}") == "{1: 2}, of type dict"


def whole(program):
    return worker.guarded(lambda: worker.new_module("student", program, "s.py"), "s.py")[0]


def test_a_file_that_cannot_run_is_told():
    assert whole("def f(:\n")["found"] == "no Python in line 1: invalid syntax"
    assert whole("x = 1\nexit()\n")["found"] == "exit(): the program ends itself"
    assert whole("x = 1\n1 / 0\n")["found"].startswith("ZeroDivisionError in line 2")
    assert whole("raise NotImplementedError('step 1')")["found"] == "a gap that is not filled yet"
    assert whole("import nothing_there")["found"].startswith("ModuleNotFoundError in line 1")
    assert whole(b"x = '\xff'")["found"].startswith("no Python in line")
    assert "null bytes" in whole(b"\0")["found"]
    assert whole("while True: print('xyz' * 1000)")["found"].startswith("more than 1,000,000")


def test_values_are_compared_by_shape_and_number():
    def found(value, right):
        with pytest.raises(checking.Wrong) as wrong:
            checking.compare("f()", value, right)
        return wrong.value.found, wrong.value.expected

    checking.compare("f()", [1, 2], np.array([1.0, 2.0]))
    checking.compare("f()", np.array([3.0]), 3)
    assert found(np.ones((2, 1)), np.ones(2)) == ("the shape (2, 1)", "the shape (2,)")
    assert found(float("nan"), 1.0) == ("nan", "1")
    assert found(np.array([1.0, 2.5]), np.array([1.0, 2.0])) == ("[1, 2.5]", "[1, 2]")
    many = np.arange(40.0)
    changed = many.copy()
    changed[17] = -1
    assert found(changed, many) == ("-1 at index [17]", "17 at index [17]")
    assert found(None, 1.0)[0] == "None: does the function return its result?"


@pytest.mark.slow
def test_the_command_says_what_is_right(tmp_path):
    status, out = check_command(tmp_path, sources.solution(EXERCISES["3.a"]))
    assert (status, out.count(": right\n"), "3 of 3 steps are right" in out) == (0, 3, True)
    status, out = check_command(tmp_path, "def f(:")
    assert (status, out.count("the file does not run, so no step can be checked")) == (1, 3)
    (tmp_path / "queue.py").write_text("raise SystemExit")  # a student's file may have any name
    (tmp_path / "models.py").write_text("raise SystemExit")
    assert check_command(tmp_path, sources.solution(EXERCISES["3.a"]))[0] == 0


def test_an_endless_file_ends_within_a_minute():
    longest = max(len(exercise.steps) for exercise in EXERCISES.values())
    first, later = runner.LIMITS
    assert first + (longest - 1) * later < 45  # in one process, where they can be interrupted


def test_a_loop_that_never_ends_is_interrupted_and_the_next_step_is_checked():
    text = BAD.format(first="while True: pass", second="while True: time.sleep(0.01)", third="return 1 / 0")
    exercise, student = EXERCISES["3.a"], worker.new_module("student", text, "student.py")
    told = [worker.check_step(step, 0, student, student, exercise.steps, 0.1) for step in exercise.steps]
    assert [problem["found"][:15] for problem in told] == ["no end after 0.", "no end after 0.", "ZeroDivisionErr"]
