"""What a notebook shows of agents and results: tables, bars and curves as HTML that needs no other file.

S seed, E evaluations.
"""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

BLUE, SKY = "#0072B2", "#56B4E9"  # Okabe and Ito's
WIDTH, HEIGHT = 480, 200  # pixels of a figure
MOST = 50  # seeds that are shown one by one


def facts(title: str, values: Mapping[str, Any]) -> str:
    """A heading, and names with their values."""
    rows = "".join(
        f'<tr><th style="text-align:left">{html.escape(name)}</th>'
        f'<td style="text-align:left">{html.escape(str(value))}</td></tr>'
        for name, value in values.items()
    )
    return f"<h4>{html.escape(title)}</h4><table>{rows}</table>"


def bars(title: str, names: Sequence[Any], values: np.ndarray) -> str:
    """One bar a seed, (S,), from the lowest value on; the number stands at its end."""
    values = np.asarray(values, float)[:MOST]
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
    rows = []
    for name, value in zip(names, values, strict=False):
        share = 0.0 if not np.isfinite(value) else 0.1 + 0.9 * (1.0 if high == low else (value - low) / (high - low))
        bar = f'<div style="background:{BLUE};height:0.9em;width:{240 * share:.0f}px"></div>'
        words = f"{value:.1f}" if np.isfinite(value) else "none yet"
        rows.append(f'<tr><td>{html.escape(str(name))}</td><td style="text-align:left">{bar}</td><td>{words}</td></tr>')
    return f"<p>{html.escape(title)}</p><table>{''.join(rows)}</table>"


def curves(title: str, steps: np.ndarray, values: np.ndarray, middle: np.ndarray) -> str:
    """Every seed as a thin line, values (E, S), and their middle (E,) as a thick one."""
    finite = values[np.isfinite(values)]
    if not len(steps) or not len(finite):
        return ""
    low, high = float(finite.min()), float(finite.max())
    last = max(float(steps[-1]), 1.0)

    def line(column: np.ndarray, style: str) -> str:
        places = [
            f"{60 + (WIDTH - 70) * step / last:.1f},{10 + (HEIGHT - 40) * (high - value) / max(high - low, 1e-9):.1f}"
            for step, value in zip(steps, column, strict=True)
            if np.isfinite(value)
        ]
        return f'<polyline points="{" ".join(places)}" fill="none" {style}/>'

    lines = [line(values[:, index], f'stroke="{SKY}"') for index in range(min(values.shape[1], MOST))]
    lines.append(line(middle, f'stroke="{BLUE}" stroke-width="3"'))
    labels = [(4, 16, f"{high:.0f}"), (4, HEIGHT - 28, f"{low:.0f}"), (60, HEIGHT - 8, "0 steps of each seed")]
    labels.append((WIDTH - 80, HEIGHT - 8, f"{last:,.0f}"))
    texts = [f'<text x="{x}" y="{y}" font-size="13" fill="currentColor">{words}</text>' for x, y, words in labels]
    svg = f'<svg width="{WIDTH}" height="{HEIGHT}" xmlns="http://www.w3.org/2000/svg">{"".join(lines + texts)}</svg>'
    return f"<p>{html.escape(title)}</p>{svg}"
