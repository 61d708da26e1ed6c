"""The page of a run, index.html: one file that needs no network, with what a student needs to read the figures.

All text is escaped, figures are inline data, formulas are drawn here. The same content gives the same bytes.
"""

import base64
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import quote

from matplotlib.textpath import TextPath
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from balancier import _, decimals, language

STYLE = """
body { margin: 0; background: #fff; color: #1a1a1a; font: 1.15rem/1.5 system-ui, sans-serif; }
main, nav { max-width: 62rem; margin: auto; padding: 1rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0.2em 0 0.6em; }
h2 { font-size: 1.4rem; margin: 1.6em 0 0.4em; }
section + section { border-top: 2px solid #ccc; margin-top: 3rem; padding-top: 1.5rem; }
figure { margin: 2rem 0; }
figure img { display: block; width: 100%; height: auto; }
.name, .command { color: #555; }
.formula svg { display: block; margin: 0.8em 0; max-width: 100%; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 1rem; margin: 1rem 0; }
caption { text-align: left; font-weight: bold; padding-bottom: 0.3em; }
th, td { text-align: left; vertical-align: top; padding: 0.3em 0.9em 0.3em 0; border-bottom: 1px solid #ccc; }
code, pre { font-family: ui-monospace, monospace; font-size: 0.95em; }
code { background: #f1f1f1; padding: 0.1em 0.3em; overflow-wrap: anywhere; }
pre { overflow-x: auto; line-height: 1.3; }
dd { margin: 0.2em 0 1em 0; }
"""


@dataclass(frozen=True)
class Page:
    """The words of a run's page, index.html, beside its figures and its table.

    Args:
        question: what the lesson asks, in one sentence.
        formula: what it computes, each line in matplotlib's mathtext, such as r"$y = h(x, \\theta)$".
        captions: name of a figure -> two sentences that say what to see in it.
        what_if: three commands to try next, each with what to look for.
    """

    question: str
    formula: tuple[str, ...]
    captions: dict[str, str]
    what_if: tuple[tuple[str, str], ...]


def document(title: str, body: str) -> str:
    """A complete HTML document."""
    return (
        f'<!DOCTYPE html>\n<html lang="{language()}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def section(
    name: str,
    command: str,
    page: Page | None,
    images: dict[str, bytes],
    tables: RenderableType | None,
    result: dict[str, Any] | None = None,
    files: Sequence[str] = (),
) -> str:
    """All that a run shows: question, formula, figures (name -> PNG), table, what to try next, and its command.

    A report also shows all numbers of `result`, which is that of result.json, and links to `files` of the run's folder.
    """
    title = page.question if page else name
    parts = [f'<section id="{escape(name)}">\n<p class="name">balancier {escape(name)}</p>\n<h1>{escape(title)}</h1>']
    if page and page.formula:
        parts.append('<div class="formula">\n' + "\n".join(map(formula, page.formula)) + "\n</div>")
    words = page.captions if page else {}
    for each, image in images.items():
        kind = re.sub(r"_\d+$", "", each)  # the second figure of a kind ends in _2
        parts.append(figure(name, each, image, words.get(each, words.get(kind, ""))))
    if tables is not None:
        parts.append(f'<h2>{_("Numbers")}</h2>\n<div class="wide">\n{block(tables)}\n</div>')
    if page and page.what_if:
        tries = [f"<dt><code>{escape(line)}</code></dt>\n<dd>{escape(look)}</dd>" for line, look in page.what_if]
        parts.append(f"<h2>{_('What if?')}</h2>\n<dl>\n" + "\n".join(tries) + "\n</dl>")
    if result is not None:
        parts.append(f'<h2>{_("All numbers")}</h2>\n<div class="wide">\n{numbers(result)}\n</div>')
    if files:
        links = [f'<li><a href="{escape(quote(file))}">{escape(file)}</a></li>' for file in files]
        parts.append(f"<h2>{_('Files of this run')}</h2>\n<ul>\n" + "\n".join(links) + "\n</ul>")
    made = _("Made by {command}", command=f"<code>{escape(command)}</code>")
    parts.append(f'<p class="command">{made}</p>\n</section>')
    return "\n".join(parts)


def numbers(content: Any) -> str:
    """What result.json holds, with the digits that it has there: tables in tables; rows of one form are one table."""
    if isinstance(content, dict):
        rows = [f"<tr><th>{word(name)}</th><td>{numbers(value)}</td></tr>" for name, value in content.items()]
        return "<table>\n" + "\n".join(rows) + "\n</table>"
    if isinstance(content, list) and content and all(isinstance(row, dict) for row in content):
        heads = list(dict.fromkeys(name for row in content for name in row))
        lines = ["<thead><tr><th></th>" + "".join(f"<th>{word(name)}</th>" for name in heads) + "</tr></thead>"]
        for index, row in enumerate(content):
            values = "".join(f"<td>{numbers(row[name]) if name in row else ''}</td>" for name in heads)
            lines.append(f"<tr><th>{index}</th>{values}</tr>")
        return "<table>\n" + "\n".join(lines) + "\n</table>"
    if isinstance(content, list):
        return " ".join(map(numbers, content))
    if isinstance(content, str):
        return f"<pre>{escape(content)}</pre>" if "\n" in content else word(content)
    text = json.dumps(content)
    return word(text) if content is None or isinstance(content, bool) else escape(text)


def word(text: Any) -> str:
    """A word as the file has it, whatever the language of the page."""
    return f"<code>{escape(str(text))}</code>"


def figure(lesson: str, name: str, image: bytes, caption: str) -> str:
    data, text = base64.b64encode(image).decode(), escape(caption)
    words = f"<figcaption>{text}</figcaption>" if caption else f"<figcaption>{escape(name)}</figcaption>"
    source = f'<img src="data:image/png;base64,{data}" alt="{text or escape(name)}">'
    return f'<figure id="{escape(f"{lesson}-{name}")}">\n{source}\n{words}\n</figure>'


def formula(text: str, size: float = 20.0) -> str:
    """A line of mathtext as an inline drawing, whose text is there for those who cannot see it."""
    outline = TextPath((0, 0), text, size=size)
    (left, low), (right, high) = outline.get_extents().get_points()
    steps = []
    for points, code in outline.iter_segments(curves=True, simplify=False):
        numbers = " ".join(f"{x - left:.2f} {high - y:.2f}" for x, y in zip(points[::2], points[1::2], strict=True))
        steps.append("Z" if code == outline.CLOSEPOLY else {1: "M", 2: "L", 3: "Q", 4: "C"}[int(code)] + numbers)
    width, height = right - left, high - low
    sizes = f'width="{width / size * 1.3:.2f}em" height="{height / size * 1.3:.2f}em"'
    box = f'viewBox="0 0 {width:.2f} {height:.2f}" role="img" aria-label="{escape(text)}"'
    return f'<svg {sizes} {box}><path d="{"".join(steps)}"/></svg>'


def block(content: RenderableType) -> str:
    """What rich prints, as HTML: tables as tables, several of them one after another, all else as it is printed."""
    if isinstance(content, Group):
        return "\n".join(map(block, content.renderables))
    if not isinstance(content, Table):
        return f"<pre>{escape(plain(content))}</pre>"
    columns = [list(column.cells) for column in content.columns]
    rows = list(zip(*columns, strict=True))
    if not content.show_header and any(not isinstance(cell, str | Text) for row in rows for cell in row):
        return "\n".join(block(cell) for row in rows for cell in row)  # a grid, which puts things under each other
    heads = [column.header for column in content.columns] if content.show_header else []
    lines = [f"<caption>{escape(plain(content.title))}</caption>"] if content.title else []
    lines += [f"<thead>{cells(heads, 'th')}</thead>"] if any(map(plain, heads)) else []
    lines += ["<tbody>", *(cells(row, "td") for row in rows), "</tbody>"]
    below = f"<p>{escape(plain(content.caption))}</p>" if content.caption else ""
    return "<table>\n" + "\n".join(lines) + f"\n</table>{below}"


def localize_table(content: RenderableType | None) -> None:
    """Write the decimals in the cells of tables as the user's language writes them."""
    if isinstance(content, Group):
        for part in content.renderables:
            localize_table(part)
    if isinstance(content, Table):
        for column in content.columns:
            for part in column._cells:
                localize_table(part)
            column._cells = [decimals(cell) if isinstance(cell, str) else cell for cell in column._cells]


def cells(values: Sequence[RenderableType], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(plain(value))}</{tag}>" for value in values) + "</tr>"


def plain(content: RenderableType) -> str:
    """The text of what rich prints, without its styles."""
    if isinstance(content, str):
        return Text.from_markup(content).plain
    if isinstance(content, Text):
        return content.plain
    console = Console(file=io.StringIO(), width=130, record=True)
    console.print(content)
    return console.export_text().rstrip("\n")
