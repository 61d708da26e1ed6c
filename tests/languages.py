"""What a command shows in the language for tests, which puts every text of the catalog into brackets: ⟦...⟧."""

import html
import os
import re
import subprocess
import sys
from pathlib import Path

HOME = Path(__file__).resolve().parents[1]
# What no language translates: names of agents, networks, people, packages, environments, signs of mathematics, and the
# values of flags.
NAMES = """
    A2C DQN PPO SAC TD3 REINFORCE SB3 Stable Baselines3 GRU LSTM MLP CNN Elman ReLU SiLU SGD Adam AdamW AdaGrad RMSprop
    Balancier balancier PyTorch NumPy Gymnasium TensorBoard Optuna Dask Slurm Python ONNX pygame Matplotlib
    CIFAR MNIST Titanic CartPole Acrobot MountainCar Pendulum PendulumDiscrete FrozenLake
    sin cos tan exp log ln tanh sigmoid softmax max min argmax lim mod det GIF PNG MP4 SVG PDF HTML CSV JSON IQM RMS MSE
    NaN kg rad ms MB GB KB MiB GiB Hz kHz dB pp
    relu mlp gru lstm elman cnn ppo sac dqn td3 a2c reinforce png svg pdf cpu cuda local slurm auto euler rk4
"""
CODE = re.compile(
    r"\w+://\S+"  # an address
    r"|balancier [\w.-]+(?: +(?:--?[\w-]+|[\w./:=+-]+))*"  # a command with its flags
    r"|--?[a-z][\w-]*(?:[ =]\[?[A-Z][A-Z|=.\] ]*)?"  # a flag, with the word for its value
    r"|[\w.-]*/[\w./-]*|\b\w+\.(?:png|svg|json|csv|html|py|ipynb|toml|gif|mp4|safetensors|zip|onnx)\b"  # a file
    r"|\b[\w/:]*-v\d+\b|\b\w+=\S+|\b\w*_\w*\b|\{[^}]*\}|\b\w*\d\w*\b"  # ids, settings, names in code
    r"|\[[A-Z]+\]|\b[A-Z]{2,}(?= *\.\.\.)"
)


def outside(text: str) -> str:
    """What stands outside of all brackets."""
    depth, kept = 0, []
    for sign in text:
        depth += (sign == "⟦") - (sign == "⟧")
        kept.append(" " if depth or sign in "⟦⟧" else sign)
    return "".join(kept)


def untranslated(text: str, names: tuple[str, ...] = ()) -> list[str]:
    """The words that stand outside of all brackets and are no names."""
    text = re.sub(r"⟦([^⟦⟧]*)…", r"⟦\1⟧", text)  # a cell that was too narrow
    if text.count("⟦") != text.count("⟧"):
        return ["found a bracket without its other, which would hide what follows"]
    text = re.sub(r"[╭╮╰╯│─━┏┓┗┛┃┡┩┠┨├┤┼┬┴]+", " ", text)
    words = re.findall(r"[^\W\d_]{2,}", CODE.sub(" ", outside(text)))
    return [word for word in words if word not in NAMES.split() and word not in names]


def text_of_page(content: str) -> str:
    """The text of a page, without its code and pictures, but with what pictures say to those who cannot see them."""
    content = re.sub(r"<(style|code|script|svg|title)\b.*?</\1>", " ", content, flags=re.DOTALL)
    alt = " ".join(re.findall(r'alt="([^"]*)"', content))
    return html.unescape(re.sub(r"<[^>]+>", " ", content) + " " + alt)


def text_of_svg(content: str) -> str:
    """The text of a figure in the order in which it is drawn."""
    parts = re.findall(r"<text\b[^>]*>(.*?)</text>", content, flags=re.DOTALL)
    return html.unescape("\n".join(re.sub(r"<[^>]+>", "", part) for part in parts))


def run(folder: Path, *words: str, language: str = "pseudo") -> subprocess.CompletedProcess[str]:
    """Run `balancier ...` in a folder."""
    env = os.environ | {"BALANCIER_LANG": language, "PYTHONPATH": str(HOME), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-m", "experiments", *words]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, encoding="utf-8", check=False)


def findings(folder: Path, *words: str, names: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """Where a run shows words that are not translated: on the terminal, in figures (SVG), on its page."""
    done = run(folder, *words)
    found = {"terminal": untranslated(done.stdout, names)}
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".svg":
            found[path.name] = untranslated(text_of_svg(path.read_text(encoding="utf-8")), names)
        if path.name == "index.html" and not path.parent.is_symlink():
            found[path.name] = untranslated(text_of_page(path.read_text(encoding="utf-8")), names)
    if done.returncode:
        found["status"] = [str(done.returncode), done.stderr[-2000:]]
    return {where: words for where, words in found.items() if words}


if __name__ == "__main__":  # python -m tests.languages polynomial --quick --seeds 2 --format svg
    import tempfile

    with tempfile.TemporaryDirectory() as temporary:
        for where, words in findings(Path(temporary), *sys.argv[1:]).items():
            print(f"{where}: {' '.join(dict.fromkeys(words))}")
