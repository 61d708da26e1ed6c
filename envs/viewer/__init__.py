"""The pendulum on a screen: scenes (numbers), their pictures, and windows with keys. No other module imports pygame.

The picture shows the rod and its bob, the bob's last positions, the torque as an arc with an arrow head
(counter-clockwise positive, its length proportional to the torque), and the state in numbers.
"""

from typing import Any

from envs.scene import Field as Field
from envs.scene import Ghost as Ghost
from envs.scene import Scene as Scene
from envs.scene import Track as Track
from envs.scene import scene_of as scene_of
from envs.scene import seen_of as seen_of
from envs.viewer.drawing import PANELS as PANELS
from envs.viewer.drawing import canvas, to_array
from envs.viewer.drawing import draw as draw
from envs.viewer.drawing import frame as frame
from envs.viewer.window import Commands as Commands
from envs.viewer.window import NoDisplay as NoDisplay
from envs.viewer.window import Window as Window

SIZE = (500, 500)  # pixels of a frame, and of the window at first


class Viewer:
    """Pictures of an environment: arrays with render_mode "rgb_array", a window with "human"."""

    def __init__(self, render_mode: str):
        self.surface = canvas(SIZE)
        self.window: Window | None = None
        if render_mode == "human":
            self.window = Window(size=(760, 500), handles=("push", "turn", "drag"))

    def show(self, scene: Scene, seconds: float) -> Any:
        """(500, 500, 3) bytes, or the window's commands after `seconds` of real time."""
        if self.window is None:
            return to_array(draw([scene], SIZE, surface=self.surface))
        return self.window.show([scene], seconds)

    @property
    def closed(self) -> bool:
        """Whether a person has closed the window."""
        return self.window is not None and self.window.closed

    def close(self) -> None:
        if self.window is not None:
            self.window.close()
