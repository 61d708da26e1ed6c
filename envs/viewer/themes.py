"""Colors, after Okabe and Ito: everybody can tell them apart."""

from dataclasses import dataclass

Color = tuple[int, int, int]
VERMILION, BLUE, SKY, PURPLE, YELLOW, ORANGE = (
    (213, 94, 0),
    (0, 114, 178),
    (86, 180, 233),
    (204, 121, 167),
    (240, 228, 66),
    (230, 159, 0),
)


@dataclass(frozen=True)
class Theme:
    paper: Color
    card: Color  # behind a panel
    ink: Color
    soft: Color  # words of second rank
    faint: Color  # lines of a grid
    bob: Color
    torque: Color
    ghosts: tuple[Color, ...]


THEMES = {
    "light": Theme(
        paper=(252, 252, 250),
        card=(242, 243, 244),
        ink=(34, 38, 46),
        soft=(92, 98, 108),
        faint=(208, 211, 216),
        bob=VERMILION,
        torque=BLUE,
        ghosts=(SKY, PURPLE, (120, 120, 120), YELLOW),
    ),
    "dark": Theme(
        paper=(18, 20, 24),
        card=(32, 35, 41),
        ink=(236, 238, 240),
        soft=(172, 178, 186),
        faint=(66, 71, 80),
        bob=(230, 106, 16),
        torque=SKY,
        ghosts=((60, 145, 205), PURPLE, (150, 150, 150), YELLOW),
    ),
}


def mix(start: Color, end: Color, share: float) -> Color:
    """A color between two."""
    r, g, b = (round(a + share * (z - a)) for a, z in zip(start, end, strict=True))
    return r, g, b
