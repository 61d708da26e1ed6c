"""What the pages say to do works: links, commands, times, and where the course is shown."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

from experiments import __main__ as cli
from experiments.common import command
from experiments.common.catalog import EXPERIMENTS, LESSONS, duration

HOME = Path(__file__).parents[1]
READMES = [HOME / "README.md", HOME / "README.fr.md"]
PAGES = [*READMES, HOME / "CONTRIBUTING.md", HOME / "CHANGELOG.md", *sorted(HOME.glob("docs/*.md"))]


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_to_files(page):
    links = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL))
    for link in links:
        if "://" not in link and not link.startswith("mailto:"):
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), f"{page.name}: {link}"
            assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


@pytest.mark.parametrize("page", READMES, ids=lambda page: page.name)
def test_what_sets_everything_up_is_one_line_each(page):
    lines = page.read_text().splitlines()
    assert "python -m pip install -e . && balancier compare" in lines
    assert "python -m pip install -e '.[test]' && pytest" in lines


@pytest.mark.parametrize("page", READMES, ids=lambda page: page.name)
def test_the_course_table_is_the_catalog(page):
    text = page.read_text().replace("| 3 à 6 |", "| 3 to 6 |")
    rows = re.findall(
        r"^\| (.*?) \| \[.*\]\(experiments/(\w+)\.py\) \| `balancier (\w+)` \| (.*?) ?\|$", text, re.MULTILINE
    )
    shown = {name: (section, time) for section, file, name, time in rows if file == name}
    expected = {
        name: (entry.section, duration(entry.seconds) if entry.seconds else "")
        for name, entry in EXPERIMENTS.items()
        if name not in ("course", "fetch")
    }
    assert shown == expected
    assert list(shown) == list(expected)


def test_both_readmes_name_the_same_commands_and_links():
    english, french = (page.read_text() for page in READMES)
    blocks = [re.findall(r"```\w*\n(.*?)```", text, re.DOTALL) for text in (english, french)]
    code = [[re.sub(r"  #.*", "", block) for block in each] for each in blocks]
    assert [re.sub(r" +\n", "\n", block) for block in code[0]] == [re.sub(r" +\n", "\n", block) for block in code[1]]
    assert set(commands(english)) == set(commands(french))
    links = [set(re.findall(r"\]\(([^)\s]+)\)", text)) - {"README.md", "README.fr.md"} for text in (english, french)]
    assert links[0] == links[1]


def commands(text):
    """The lines `balancier ...` of a page: in its code blocks and between backticks, without comments."""
    found = re.findall(r"`(balancier [^`\n]+)`", text)
    for block in re.findall(r"```\w*\n(.*?)```", text, flags=re.DOTALL):
        for line in block.splitlines():
            found += [
                part.strip() for part in line.partition(" #")[0].split("&&") if part.strip().startswith("balancier ")
            ]
    return [line for line in found if not line.startswith(("balancier NAME", "balancier coins"))]


def page_of(name):
    """The words of a lesson's page; None if it has none."""
    module = importlib.import_module(f"experiments.{name}")
    lesson = getattr(module, "LESSON", None)
    return lesson.page if lesson is not None else getattr(module, "PAGE", None)


class Understood(Exception):
    pass


def check(line, monkeypatch):
    """Parse a command line and check its flags, as the command does; do not run it."""
    real = command.check_flags

    def stop(flags):
        real(flags)
        raise Understood

    monkeypatch.setattr(command, "check_flags", stop)
    with pytest.raises((Understood, SystemExit)) as end:
        assert cli.main(shlex.split(line)[1:]) == "understood", line
    assert end.type is Understood or end.value.code == 0


@pytest.mark.parametrize("page", [*READMES, *PAGES[4:]], ids=lambda page: page.name)
def test_commands_that_a_page_names_are_understood(page, monkeypatch):
    monkeypatch.setenv("BALANCIER_LANG", "en")  # some commands choose another
    for line in commands(page.read_text()):
        check(line, monkeypatch)


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_has_a_page_and_what_it_suggests_is_understood(name, monkeypatch):
    page = page_of(name)
    assert page is not None
    for line, look in page.what_if:
        assert look
        check(line, monkeypatch)
    assert page.question.endswith("?")
    assert len(page.what_if) == 3
    assert page.formula
    assert page.captions
    assert all(len(re.findall(r"[.!?:](?= |$)", text)) >= 2 for text in page.captions.values())


COURSE = (HOME / "docs" / "course.md").read_text()
ROWS = re.findall(r"^\| (\d.*?) \| (.*?) \| (.*?) \| (.*?) \|$", COURSE, re.MULTILINE)


def pattern(text):
    """A printed text without what differs from run to run: its numbers, and what stands for them in an f-string."""
    return re.sub(r"[\d.,]*\d", "#", re.sub(r"\{[^{}\n]*\}", "#", text))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1][:40])
def test_what_the_course_says_is_shown_where_the_table_says(row):
    """A row names a command, and of it a figure, a key of result.json, a printed text, a flag, or words of the page.

    Figures stand after the word "figure", flags begin with "--", and every other word between backticks is a key. What
    stands in quotation marks is printed or drawn, with "..." for what is left out. The script has each of them.
    """
    assert all(cell.strip() for cell in row)
    names = re.findall(r"`balancier (\w+)", row[2])
    assert names or re.search(r"`balancier`|\]\(", row[2]), row
    assert set(names) <= set(EXPERIMENTS), row
    pages = [page for name in names if (page := page_of(name))]
    files = [HOME / "experiments" / f"{name}.py" for name in names] + sorted(HOME.glob("experiments/common/*.py"))
    source = "".join(file.read_text() for file in files)
    named = " ".join(re.findall(r"\bfigures? (`\w+`(?:(?:, | and )`\w+`)*)", row[3]))
    figures, flags = set(re.findall(r"`(\w+)`", named)), re.findall(r"`--([\w-]+)", row[3])
    keys = set(re.findall(r"`(\w+)(?:\.\w+)*`", row[3])) - figures
    texts = re.findall(r'"(.+?)"', row[3])
    formulas = [int(number) for numbers in re.findall(r"formulas? (\d(?: and \d)*)", row[3]) for number in numbers[::6]]
    assert figures <= {name for page in pages for name in page.captions}, row
    assert {key for key in keys if f'"{key}"' not in source} == set(), row
    assert {flag for flag in flags if f"    {flag.replace('-', '_')}: " not in source} == set(), row
    fragments = {part.strip() for text in texts for part in text.split("...")}
    assert {part for part in fragments if pattern(part) not in pattern(source)} == set(), row
    assert all(number <= len(page.formula) for number in formulas for page in pages), row
    assert pages or not (figures or formulas), row
    assert "printed" not in row[3] or texts, row
    words = figures | keys | {*flags} | {*texts} | {*formulas}
    assert words or re.search("page: (question|formulas)", row[3]) or not names, row


def test_no_row_of_the_course_is_empty():
    lines = [line for line in COURSE.splitlines() if line.startswith("|")]
    assert len(lines) == len(ROWS) + 2


def test_every_section_of_the_course_has_its_rows():
    sections = {section.split(".")[0] for row in ROWS for section in row[0].split(", ")}
    assert sections == {"1", "2", "3", "4", "5", "6"}
