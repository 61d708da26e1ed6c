"""The numbers of a training for TensorBoard, by PyTorch's own writer: each seed is one of its runs, and their IQM."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.common.flags import UsageError
from experiments.common.statistics import interquartile_mean

FOLDER = "tensorboard"  # in the folder of a run
MOST = 50  # seeds that have a curve of their own; more curves nobody can tell apart


class Board:
    """Writes every number of every seed, and the interquartile mean of all, where TensorBoard reads them.

    Args:
        folder: of the run.
        seeds: of the training, as `values` of `log` are ordered.
        step: where the training begins; what an earlier process wrote of later steps is no longer shown.
    """

    def __init__(self, folder: Path, seeds: Sequence[int], step: int):
        make, purged = summary_writer(), step + 1 if step else None
        names = [f"seed-{seed}" for seed in seeds[:MOST]]
        self.iqm = make(str(folder / FOLDER / "iqm"), purge_step=purged)
        self.writers = [make(str(folder / FOLDER / name), purge_step=purged) for name in names]

    def log(self, step: int, metric: str, values: np.ndarray) -> None:
        """One number for each seed, (S,); those that are not finite yet are left out."""
        finite = np.isfinite(values)
        for writer, value in zip(self.writers, np.where(finite, values, np.nan), strict=False):
            writer.add_scalar(metric, value, step) if np.isfinite(value) else None
        if finite.any():
            self.iqm.add_scalar(metric, interquartile_mean(np.asarray(values)[finite]), step)

    def flush(self) -> None:
        for writer in (self.iqm, *self.writers):
            writer.flush()

    def close(self) -> None:
        for writer in (self.iqm, *self.writers):
            writer.close()


def summary_writer() -> Any:
    """PyTorch's SummaryWriter; UsageError, in one line, where TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        expected = "it installed (python -m pip install tensorboard)"
        raise UsageError(f"--tensorboard: found no package tensorboard, expected {expected}") from None
    return SummaryWriter
