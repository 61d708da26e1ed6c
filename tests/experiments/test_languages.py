"""French is complete: each text has a translation, and no command shows a word that is in no catalog."""

import ast
import gettext
import inspect
import os
import re
import string
import subprocess
import sys

import pytest

pytest.importorskip("babel")

import balancier
from experiments import autodiff, mlp
from experiments.common.catalog import EXPERIMENTS, LESSONS
from experiments.exercises.sources import EXERCISES
from experiments.locale import update
from tests.languages import HOME, findings, run, untranslated

CATALOG = update.updated()
MESSAGES = [message for message in CATALOG if message.id]
LETTERS = re.compile(r"[^\W\d_]{2,}")


def fields(text):
    text = re.sub(r"\\\w+\{\w*\}", "", text)  # words in a formula
    try:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}
    except ValueError:  # a text without fields, in which braces mean themselves
        return set()


def test_every_text_has_a_translation_with_the_same_fields():
    missing = [message.id for message in MESSAGES if not message.string]
    assert not missing
    differing = [message.id for message in MESSAGES if fields(message.id) != fields(message.string)]
    assert not differing


def test_the_files_of_the_catalog_are_those_of_the_texts():
    """`python -m experiments.locale.update` brings them up to date."""
    po, _ = update.as_files(CATALOG)
    assert update.PO.read_bytes() == po
    compiled = gettext.translation("balancier", balancier.CATALOGS, ["fr"])
    assert all(compiled.gettext(message.id) == message.string for message in MESSAGES)


def test_french_typography():
    """A no-break space stands before : ; ! ? and %, and decimals have a comma, but in commands and code."""
    wrong = []
    for message in MESSAGES:
        if any("exercises/program" in file for file, _ in message.locations):
            continue  # comments among code
        text = re.sub(
            r"\{[^}]*\}|\(par défaut\u00a0: [^)]*\)|`[^`]*`|\$[^$]*\$|https?://\S+|balancier [^:;,\u00a0]*|"
            r"--[\w-]+( [\d.]+)*|\w+:\w+",
            "x",
            message.string,
        )
        if re.search(r"[^\W\d_] ?[;!?](\s|$)|[^\W\d_][:](\s|$)|\w :|\d ?%|\b0\.\d", text):
            wrong.append(message.string)
    assert not wrong


@pytest.mark.parametrize("path", sorted(str(path.relative_to(HOME)) for path in update.sources()), ids=str)
def test_no_function_that_translates_binds_the_name_of_the_translation(path):
    tree = ast.parse((HOME / path).read_text(encoding="utf-8"))
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.Lambda):
            names = [node for node in ast.walk(function) if isinstance(node, ast.Name) and node.id == "_"]
            called = [node for node in names if isinstance(node.ctx, ast.Load)]
            assert not called or len(called) == len(names), f"{path}: line {called[0].lineno}"
            assert not called or all(argument.arg != "_" for argument in function.args.args)


@pytest.mark.parametrize(
    ("code", "shown"),
    [("en", "1,234.5 of 12.5%, 3 and a.b"), ("fr", "1\u202f234,5 of 12,5\u202f%, 3 and a.b")],
)
def test_numbers_are_written_as_the_language_writes_them(monkeypatch, code, shown):
    monkeypatch.setenv("BALANCIER_LANG", code)
    assert balancier._("{x:,.1f} of {p:.1%}, {n} and {name}", x=1234.5, p=0.125, n=3, name="a.b") == shown


@pytest.mark.parametrize(
    ("english", "french"),
    [
        ("0.50", "0,50"),
        ("-234.5 (0.1 to 2), 1,234", "-234,5 (0,1 to 2), 1,234"),
        ("12%", "12\u202f%"),
        ("error 0.5, $5.1\\cdot 10^7$", "error 0,5, $5{,}1\\cdot 10^7$"),
        ("-136.2 [-138.2, -134.8]", "-136,2 [-138,2 ; -134,8]"),
        ("1.5e-3", "1,5e-3"),
        ("v0.1.0, 3.a, torch 2.13.0", "v0.1.0, 3.a, torch 2.13.0"),
        ("CartPole-v1", "CartPole-v1"),
    ],
)
def test_numbers_in_tables_and_figures(monkeypatch, english, french):
    assert balancier.decimals(english) == english
    monkeypatch.setenv("BALANCIER_LANG", "fr")
    assert balancier.decimals(english) == french


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ({}, "en"),
        ({"LANG": "fr_FR.UTF-8"}, "fr"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "fr_CA.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "C.UTF-8", "BALANCIER_LANG": "fr"}, "fr"),
        ({"LANG": "fr_FR.UTF-8", "BALANCIER_LANG": "en"}, "en"),
    ],
)
def test_the_language_is_the_system_s_unless_it_is_chosen(monkeypatch, variables, code):
    for name in ("BALANCIER_LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert balancier.language() == code


def command(folder, *words, **variables):
    env = {name: value for name, value in os.environ.items() if name != "BALANCIER_LANG"}
    env |= {"PYTHONPATH": str(HOME), "PYTHONIOENCODING": "utf-8"} | variables
    words = [sys.executable, "-m", "experiments", *words]
    return subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, encoding="utf-8", check=False)


def test_lang_is_understood_wherever_it_stands(tmp_path):
    shown = command(tmp_path, LANG="fr_FR.UTF-8").stdout
    assert "moindres carrés" in shown
    assert command(tmp_path, "--lang", "fr").stdout == command(tmp_path, "--lang=fr").stdout == shown
    helped = [
        command(tmp_path, *words)
        for words in (("polynomial", "--help", "--lang", "fr"), ("--lang", "fr", "polynomial", "--help"))
    ]
    assert helped[0].stdout == helped[1].stdout
    assert "afficher" in helped[0].stdout


@pytest.mark.parametrize(
    ("words", "variables", "line"),
    [
        (("--lang", "de"), {}, "balancier: --lang: found de, expected en or fr"),
        (("polynomial", "--lang"), {}, "balancier: --lang: found nothing, expected en or fr"),
        (("polynomial",), {"BALANCIER_LANG": "xx"}, "balancier: BALANCIER_LANG: found xx, expected en or fr"),
    ],
)
def test_a_language_that_there_is_not_is_one_line(tmp_path, words, variables, line):
    done = command(tmp_path, *words, **variables)
    assert (done.returncode, done.stderr.strip(), done.stdout) == (2, line, "")


def test_a_lesson_that_was_loaded_in_another_language_says_so(tmp_path, capsys, monkeypatch):
    assert autodiff.main(["--lang", "fr", "--out", str(tmp_path)]) == 2
    assert "--lang: found fr too late" in capsys.readouterr().err
    assert balancier.language() == "en"


@pytest.mark.parametrize("name", ["", *EXPERIMENTS])
def test_help_has_no_word_that_is_not_translated(tmp_path, name):
    shown = run(tmp_path, *([name, "--help"] if name else [])).stdout
    assert "⟦" in shown
    assert untranslated(shown, (*names_in_help(name), "ID", "RUN")) == []


def names_in_help(name):
    """The figures of a lesson are names of files, which its help lists without their ending; flags have choices."""
    shown = run(HOME, *([name, "--help"] if name else []), language="en").stdout
    parts = re.findall(r"^Figures: [^.]*\.|[\w:/.]+(?:\|[\w:/.]+)+|\{[^}]*\}", shown, re.MULTILINE)
    return LETTERS.findall(" ".join(parts).removeprefix("Figures"))


# What lessons show of code, columns and files.
CODE = {
    "autodiff": "".join(map(inspect.getsource, (autodiff.square_gradient, autodiff.product_gradient))) + "tensor",
    "mlp": inspect.getsource(mlp.train_plain) + "PlainMLP hidden Linear ModuleList out",
    "cifar": "print network convolutions ModuleList dense hidden Linear out",
    "control": "iLQR",
    "distill": "torque clip speed",
    "real": "pendulum csv raw.githubusercontent.com FILE",
    "titanic": "survived female fare raw.githubusercontent.com FILE reconstructed",
}
QUICK = {
    "adapt": ("--seeds", "10"),
    "identify": ("--jobs", "1"),
    "forecast": ("--jobs", "1"),
    "cifar": ("--data", "pendulum", "--seeds", "1"),
    "train": ("--agent", "ppo", "--env", "CartPole-v1", "--steps", "2000", "--eval-episodes", "3"),
    "compare": ("--seeds", "2", "--baseline-seeds", "2"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_shows_no_word_that_is_not_translated(tmp_path, name):
    words = [name, "--quick", "--format", "svg", *QUICK.get(name, ("--seeds", "2"))]
    words += [] if "--seeds" in words else ["--seeds", "2"]
    assert findings(tmp_path, *words, names=(name, *LETTERS.findall(CODE.get(name, "")))) == {}
    files = [path for pattern in ("*.json", "metrics.csv") for path in tmp_path.rglob(pattern)]
    assert files
    assert not [path for path in files if re.search(r"⟦|\\u27e6", path.read_text(encoding="utf-8"))]


@pytest.mark.slow
@pytest.mark.parametrize("name", EXERCISES)
def test_an_exercise_and_its_check_show_no_word_that_is_not_translated(tmp_path, name):
    written = run(tmp_path, "exercise", name, "--out", "gaps.py").stdout
    checked = run(tmp_path, "check", name, "gaps.py").stdout
    assert run(tmp_path, "solution", name, "--out", "solution.py").returncode == 0
    tree = ast.parse((tmp_path / "solution.py").read_text(encoding="utf-8"))
    functions = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    names = "py", "gaps", "solution", "NotImplementedError", *LETTERS.findall(" ".join(functions))
    assert untranslated(written + checked, names) == []
    for file in ("gaps.py", "solution.py"):
        program = (tmp_path / file).read_text(encoding="utf-8")
        strings = [node.value for node in ast.walk(ast.parse(program)) if isinstance(node, ast.Constant)]
        texts = [text for text in strings if isinstance(text, str) and " " in text.strip()]
        texts.append("\n".join(line.strip("# ") for line in re.findall(r"#(?! %%).*", program)))
        assert [word for text in texts for word in untranslated(text, names)] == []


SWEEP = """
agents = ["ppo"]
envs = ["CartPole-v1"]
steps = 600
seeds = 2
eval_episodes = 3
[grid]
gae_lambda = [0.9, 0.95]
"""


@pytest.mark.slow
def test_other_commands_show_no_word_that_is_not_translated(tmp_path):
    (tmp_path / "sweep.toml").write_text(SWEEP)
    train = "train --agent dqn --env CartPole-v1 --steps 400 --seeds 2 --eval-episodes 2 --out r --format svg"
    for line in (
        train,
        "watch r --all --gif all.gif",
        "export r --out exported",
        "sweep sweep.toml --out s --format svg",
        "course --only autodiff --out c",
        "exercise",
    ):
        words = line.split()
        assert findings(tmp_path, *words, names=(words[0], "optimum", "autodiff", "gae", "lambda")) == {}, line


def test_results_do_not_depend_on_the_language(tmp_path):
    for language in ("en", "fr"):
        assert run(tmp_path, "autodiff", "--quick", "--out", language, language=language).returncode == 0
    read = [(tmp_path / language / "result.json").read_text() for language in ("en", "fr")]
    english, french = (re.sub(r'"seconds": .*', "", text) for text in read)
    assert english == french
    assert (tmp_path / "en" / "metrics.csv").read_bytes() == (tmp_path / "fr" / "metrics.csv").read_bytes()
    page = (tmp_path / "fr" / "index.html").read_text(encoding="utf-8")
    assert '<html lang="fr">' in page
