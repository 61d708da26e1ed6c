"""What `mkdocs build` does besides: pages that stand elsewhere in the project, the reference, and links to both.

README, CONTRIBUTING and CHANGELOG are written for whoever has the files. Here they become pages, and their links lead
to pages. The reference has one page for each package, made of the docstrings. Pages in docs/ that mkdocs.yml does not
name are guides.
"""

import re
from pathlib import Path

from mkdocs.structure.files import File, Files

HOME = Path(__file__).parents[1]
COPIED = {"README.md": "index.md", "README.fr.md": "francais.md", "CONTRIBUTING.md": "contributing.md"}
COPIED |= {"CHANGELOG.md": "changelog.md"}
PACKAGES = {
    "envs": "The pendulum, its optimum and its viewer; data sets as environments, and environments as data sets.",
    "models": "Networks over the seed axis, distributions, optimizers, and the one supervised loop.",
    "agents": "One page for each algorithm, and what is done with a trained agent.",
    "experiments": "The lessons of the course, one script each, and the commands.",
}
LEFT_OUT = re.compile("__main__|program_|checks_|locale")


def named(nav):
    """The pages in a part of the navigation."""
    for entry in nav if isinstance(nav, list) else [nav]:
        if isinstance(entry, dict):
            for part in entry.values():
                yield from named(part)
        else:
            yield entry


def on_config(config):
    """Guides that others have written, and the pages of the reference, go into the navigation."""
    pages = {path.name for path in (HOME / "docs").glob("*.md")} - set(named(config["nav"]))
    for part in config["nav"]:
        if "Guides" in part:
            part["Guides"] += sorted(pages)
        if "Reference" in part:
            part["Reference"] += [f"reference-{package}.md" for package in PACKAGES]
    return config


def on_files(files: Files, config):
    for source, page in COPIED.items():
        files.append(File.generated(config, page, content=(HOME / source).read_text(encoding="utf-8")))
    for package, text in PACKAGES.items():
        files.append(File.generated(config, f"reference-{package}.md", content=reference(package, text)))
    return files


def modules(package: str) -> list[str]:
    """The modules of a package; those of its front row come first."""
    paths = [path.relative_to(HOME).with_suffix("") for path in (HOME / package).rglob("*.py")]
    names = sorted((".".join(path.parts).removesuffix(".__init__") for path in paths), key=lambda n: (n.count("."), n))
    return [name for name in names if not LEFT_OUT.search(name)]


def reference(package: str, text: str) -> str:
    return f"# {package}\n\n{text}\n\n" + "\n".join(f"::: {name}\n" for name in modules(package))


def on_page_markdown(markdown: str, page, config, files) -> str:
    """Links to files of the project lead to the pages that they have become."""
    return re.sub(
        r"\]\((?!\w+:)([^)\s#]+)(#[^)\s]*)?\)", lambda found: f"]({target(found[1])}{found[2] or ''})", markdown
    )


def target(link: str) -> str:
    path = link.removeprefix("../").removeprefix("docs/")
    if path in COPIED:
        return COPIED[path]
    if path.endswith(".py") and path.partition("/")[0] in PACKAGES:
        module = path.removesuffix(".py").replace("/", ".")
        return f"reference-{path.partition('/')[0]}.md#{module}"
    return path
