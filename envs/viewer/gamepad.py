"""The first stick of the gamepads that are plugged in."""

import pygame

DEAD = 0.15  # a stick that nobody touches is not quite at 0
PADS: dict[int, pygame.joystick.JoystickType] = {}  # that are open, by their index


def stick() -> tuple[float, float]:
    """To the right and up, from -1 to 1, of the gamepad whose stick is farthest from its middle; (0, 0) without one."""
    if not pygame.joystick.get_init():
        PADS.clear()
        pygame.joystick.init()
    count = pygame.joystick.get_count()
    for index in range(count):
        if index not in PADS:
            PADS[index] = pygame.joystick.Joystick(index)
    for index in [index for index in PADS if index >= count]:
        del PADS[index]
    places = [(pad.get_axis(0), -pad.get_axis(1)) for pad in PADS.values() if pad.get_numaxes() >= 2]
    x, y = max(places, key=lambda place: abs(place[0]) + abs(place[1]), default=(0.0, 0.0))
    return tuple(number if abs(number) > DEAD else 0.0 for number in (x, y))  # type: ignore[return-value]
