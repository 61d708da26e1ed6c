"""Make the gallery of the documentation from a run of `balancier course`: one figure of each lesson, with its words.

balancier course --out runs/gallery && python docs/make_gallery.py runs/gallery

Lessons that the run does not hold keep the picture that they have.
"""

import importlib
import sys
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
WIDTH = 1100  # pixels
FIGURES = {
    "polynomial": "fits",
    "autodiff": "local_minima",
    "mlp": "widths",
    "vector_regression": "fit",
    "titanic": "correlation",
    "identify": "lengths",
    "forecast": "futures",
    "convolution": "feature_maps",
    "cifar": "mistakes",
    "q_learning": "policies",
    "policy_gradient": "learning_curves",
    "sweep": "sweep",
    "ablation": "ablation",
    "compare": "learning_curves",
    "control": "region",
    "values": "surfaces",
    "distill": "formula",
    "physics_gradient": "learning",
    "see": "pixels",
    "dream": "dream",
    "adapt": "gap",
    "robust": "leaderboard",
    "real": "networks",
    "train": "learning_curve",
}


def shrink(source: Path, target: Path) -> None:
    """A figure in fewer pixels and 256 colors."""
    picture = Image.open(source).convert("RGB")
    size = WIDTH, round(picture.height * WIDTH / picture.width)
    picture.resize(size, Image.Resampling.LANCZOS).quantize(256).save(target, optimize=True)


def section(name: str) -> str:
    """A lesson in the gallery: its question, its figure, and what to see in it."""
    module = importlib.import_module(f"experiments.{name}")
    page = module.LESSON.page if hasattr(module, "LESSON") else module.PAGE
    question, caption = page.question, page.captions[FIGURES[name]]
    picture = f"![{FIGURES[name]} of balancier {name}](gallery/{name}.png)"
    return f"## {question}\n\n{picture}\n\n{caption}\n\n`balancier {name}`\n"


def main(run: Path) -> None:
    folder = HERE / "gallery"
    folder.mkdir(exist_ok=True)
    for name, figure in FIGURES.items():
        if (source := run / name / f"{figure}.png").is_file():
            shrink(source, folder / f"{name}.png")
    names = [name for name in FIGURES if (folder / f"{name}.png").is_file()]
    head = "# Gallery\n\nOne figure of each lesson, from the short forms that `balancier course` runs.\n"
    (HERE / "gallery.md").write_text("\n".join([head, *map(section, names)]), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
