"""Every word that a window draws is in the user's language, and its font has all letters."""

import json
import os
import subprocess
import sys

import pygame
import pytest

from envs.viewer import brush
from tests.languages import HOME, untranslated

# Prints all words that are handed to the brush, the titles of windows, and the words of the card, while somebody plays
# and watches; the language is chosen before the modules are imported.
SCRIPT = """
import json
from types import SimpleNamespace

import numpy as np
import pygame
from matplotlib.text import Text

import agents
from envs.viewer import PANELS, Commands, Window, brush
from experiments import play, watch
from experiments.common import foreign_play, live, players, stage

texts, rendered, show, card_figure = [], brush.rendered, Window.show, play.card_figure

def noting(text, *others):
    texts.append(text)
    return rendered(text, *others)

noting.cache_clear = rendered.cache_clear
brush.rendered = noting

def press(window, *keys):
    for key in keys:
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=ord(key), unicode=key, window=window.window))

calls = 0

def hands(window, scenes, seconds=0.0):
    global calls
    calls += 1
    if calls % 50 < 3:
        show(window, scenes)
        texts.append(window.title)
    return Commands() if calls % 2 else Commands(push=(1.0, 0.0))

def noting_card(rounds):
    figure = card_figure(rounds)
    texts.extend(text.get_text() for text in figure.findobj(Text))
    return figure

Window.show, play.card_figure, play.ROUNDS, play.PAUSE = hands, noting_card, 2, 0.1
status = play.main(["--challenge", "--ghosts", "--panels", *PANELS, "--card", "card.png"])
calls = 0
status = status or play.main(["--episodes", "1"])
assert status == 0, status
Window.show = show

agent = agents.PPO("balancier/Pendulum-v0", seeds=[3, 11])
acts = [*players.replicas(agent, "", [0, 1]), *players.replicas(agent, "PPO", [1])]
acts += [players.controller(name, "balancier/Pendulum-v0", {}) for name in ("optimum", "energy")]
for several in (acts, [watch.forecaster("forecast_gru")], [watch.forecaster("forecast_mlp")]):
    scene_list = list(stage.Stage(several).episode(1, "hanging"))[60]
    newest = SimpleNamespace(steps=12345, newest_returns=np.array([np.nan, -123.4]))
    window = Window(size=(760, 500), panels=list(PANELS))
    window.show(scene_list)
    if len(several) > 1:
        window.show(live.labeled(scene_list, newest))
    for keys in ("s", "v", "v", "++ ?"):
        press(window, *keys)
        window.show(scene_list)
        window.show(scene_list)
        window.toast_until *= keys != "v"
    window.folder = window.folder / "nowhere"
    press(window, "s")
    window.show(scene_list)
    window.close()
for handles in (play.KEYS, foreign_play.KEY_WORDS):
    window = Window(size=(760, 500), handles=handles)
    window.help = True
    window.show(scene_list)
    window.close()
print(json.dumps(sorted(set(texts))))
"""


def drawn(folder, language):
    env = os.environ | {"BALANCIER_LANG": language, "PYTHONPATH": str(HOME)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_no_word_in_a_window_is_in_no_catalog(tmp_path):
    texts = drawn(tmp_path, "pseudo")
    assert len(texts) > 80
    of_the_system = ("Errno", "No", "such", "file", "or", "directory")
    assert {text: words for text in texts if (words := untranslated(text, of_the_system))} == {}


@pytest.mark.slow
def test_the_font_has_every_letter_of_a_french_window(tmp_path):
    texts = drawn(tmp_path, "fr")
    assert {"portrait de phase", "flèches", "pause   vitesse x 4", "graine 3, pas 12\u202f345", "0,5 m"} <= set(texts)
    pygame.font.init()

    def picture(letter):
        return pygame.image.tobytes(brush.font(40).render(letter, True, (0, 0, 0)), "RGBA")

    unknown = picture("\u27e6")
    assert unknown == picture("\u27e7")
    assert [letter for letter in sorted(set("".join(texts))) if picture(letter) == unknown] == []
