"""The page of a run: complete, escaped, without a network, the same for the same content."""

import base64
import re
from html.parser import HTMLParser

import pytest
from rich.console import Group
from rich.table import Table
from rich.text import Text

from experiments.common import plotting
from experiments.common.page import Page, block, document, formula, section
from experiments.common.runs import image

VOID = {"meta", "img", "path"}


class Parsed(HTMLParser):
    """Tags with their attributes, the text of each kind of tag, and a check that every tag is closed in its turn."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text = [], [], {}
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        for tag in set(self.open):
            self.text[tag] = self.text.get(tag, "") + data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def drawing():
    figure, (axes,) = plotting.new()
    axes.plot([1, 2], [3, 4])
    return figure


def table():
    rows = Table("M", "error <b>", title="Errors & orders", caption="Medians")
    rows.add_row("[bold]3[/bold]", Text("0.012", style="bold"))
    return rows


PAGE = Page(
    question='Which order is "right" for x < 1 & y > 0?',
    formula=(r"$\hat{y} = \sum_{i=0}^M \theta_i x^i$", r"loss: $L = \frac{1}{N} \sum (y_i - \hat{y}_i)^2$"),
    captions={"fits": "Order 1 misses the sine <sin>. Order 9 follows the noise."},
    what_if=(("balancier x --noise 0 --out 'a b'", "the error falls to 0 & stays"),),
)


def rendered(images=None):
    images = {"fits": image(drawing(), "png")} if images is None else images
    body = section("polynomial", "balancier polynomial --out 'a & b'", PAGE, images, table())
    return document("balancier polynomial", f"<main>{body}</main>")


def test_a_page_holds_all_that_a_run_shows():
    page = Parsed(rendered())
    assert page.text["h1"] == PAGE.question
    assert PAGE.captions["fits"] in page.text["figcaption"]
    assert "balancier x --noise 0 --out 'a b'" in page.text["code"]
    assert "the error falls to 0 & stays" in page.text["dd"]
    assert "balancier polynomial --out 'a & b'" in page.text["code"]
    assert page.text["caption"] == "Errors & orders"
    assert page.text["th"] == "Merror <b>"
    assert page.text["td"] == "30.012"
    (picture,) = page.all("img")
    data = picture["src"].removeprefix("data:image/png;base64,")
    assert base64.b64decode(data, validate=True) == image(drawing(), "png")
    assert [svg["aria-label"] for svg in page.all("svg")] == list(PAGE.formula)


def test_a_page_needs_no_network():
    """No address but data, no script, no style or font from elsewhere."""
    text = rendered()
    page = Parsed(text)
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object", "embed"})
    for _, attributes in page.tags:
        for name in ("src", "href", "data", "xlink:href"):
            assert attributes.get(name, "data:").startswith(("data:", "#"))
    assert "://" not in re.sub(r"base64,[^\"]*", "", text)
    assert "url(" not in text
    assert "@import" not in text


def test_the_same_content_gives_the_same_page():
    assert rendered() == rendered()
    for kind in ("png", "svg", "pdf"):
        assert image(drawing(), kind) == image(drawing(), kind)


def test_a_lesson_without_words_gets_a_page_with_its_figures():
    page = Parsed(section("mlp", "balancier mlp", None, {"widths": b"x"}, None))
    assert page.text["h1"] == "mlp"
    assert page.text["figcaption"] == "widths"
    assert len(page.all("img")) == 1


def test_a_formula_is_drawn_within_its_box():
    """The left, right, upper and lower ends of the path are those of the box; a fraction has its bar."""
    for text in PAGE.formula:
        ((_, svg), (_, path)) = Parsed(formula(text)).tags
        width, height = (float(number) for number in svg["viewbox"].split()[2:])
        numbers = [float(number) for number in re.findall(r"-?\d+\.\d+", path["d"])]
        x, y = numbers[::2], numbers[1::2]
        assert min(x) == pytest.approx(0, abs=0.5)
        assert max(x) == pytest.approx(width, abs=0.5)
        assert min(y) == pytest.approx(0, abs=0.5)
        assert max(y) == pytest.approx(height, abs=0.5)
        assert float(svg["width"].removesuffix("em")) / float(svg["height"].removesuffix("em")) == pytest.approx(
            width / height, rel=0.02
        )


def test_a_formula_stands_upright():
    """The exponent, which is drawn last, is above the base; y grows downward in a browser."""
    ((_, _), (_, path)) = Parsed(formula("$a^{b}$")).tags
    base, *_, exponent = [re.findall(r"-?\d+\.\d+", part)[1::2] for part in path["d"].split("M")[1:]]
    assert max(map(float, exponent)) < max(map(float, base))
    assert min(map(float, exponent)) == 0


def test_tables_under_each_other_are_tables():
    grid = Table.grid()
    grid.add_row(table())
    grid.add_row(Group("a note & more", table()))
    page = Parsed(block(grid))
    assert len(page.all("table")) == 2
    assert page.text["pre"] == "a note & more"
