"""Do the exported graphs compute what PyTorch computes? On real speech of several lengths."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from emo_listen.errors import EmoListenError
from export.checkpoint import PyTorchModel
from export.graph import open_graph

WINDOW_LENGTHS = (0.1, 0.5, 1.0, 3.0, 5.0, 10.0)
"""Window lengths that are compared, in seconds: from the shortest that a listener takes."""

WINDOWS_PER_LENGTH = 3
"""Windows that are compared at each length, spread over the speech."""

LARGEST_DIFFERENCE = 1e-4
"""Largest absolute difference in the fp32 logits that counts as equal (no unit)."""


ROOM = 10 ** (-66 / 20)
"""Root mean square of the noise that is added to the speech: a quiet room and microphone. In
digital silence, which no microphone gives, a front end that takes logarithms is ill-conditioned:
PyTorch's own logits in float32 and float64 then differ by 3e-3."""


class ParityError(EmoListenError, ArithmeticError):
    """An fp32 export whose logits are not those of the PyTorch checkpoint."""


@dataclass
class Parity:
    """Largest absolute difference to PyTorch's logits, at one window length."""

    seconds: float
    """Length of the windows, in seconds."""

    fp32: float
    """Difference of the fp32 graph (no unit)."""

    int8: float
    """Difference of the int8 graph (no unit)."""


def compare(
    reference: PyTorchModel, fp32: Path, int8: Path, speech: NDArray[np.float32]
) -> list[Parity]:
    """Compare both graphs with `reference` on windows of `speech` `(n_samples,)`.

    Raises:
        ParityError: a logit of `fp32` differs by more than `LARGEST_DIFFERENCE`.
    """
    sessions = {path: open_graph(path) for path in (fp32, int8)}
    noise = np.random.default_rng(0).standard_normal(len(speech), np.float32)
    speech = speech + np.float32(ROOM) * noise
    rows = []
    for seconds in tqdm(WINDOW_LENGTHS, desc="compare with PyTorch", unit="length"):
        differences = {fp32: 0.0, int8: 0.0}
        for window in speech_windows(
            speech, round(seconds * reference.sampling_rate), WINDOWS_PER_LENGTH
        ):
            input_values = reference.input_values(window)
            expected = reference.logits(input_values)
            for path, session in sessions.items():
                logits = session.run(["logits"], {"input_values": input_values})[0]
                # A NaN must not pass as a small difference.
                difference = float(np.nan_to_num(np.abs(logits - expected), nan=np.inf).max())
                differences[path] = max(differences[path], difference)
        rows.append(Parity(seconds, differences[fp32], differences[int8]))

    worst = max(rows, key=lambda row: row.fp32)
    if worst.fp32 > LARGEST_DIFFERENCE:
        raise ParityError(
            f"the fp32 export is wrong: its logits differ from PyTorch's by up to "
            f"{worst.fp32:.3g} (windows of {worst.seconds:g} s), and at most "
            f"{LARGEST_DIFFERENCE:g} is allowed. Nothing was written."
        )
    return rows


def print_parity(rows: list[Parity]) -> None:
    """Print the differences as a table."""
    table = Table(title="Largest difference to PyTorch's logits, on windows of speech")
    for heading in ("seconds", "fp32", "int8"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(f"{row.seconds:g}", f"{row.fp32:.1e}", f"{row.int8:.1e}")
    Console().print(table)


def speech_windows(
    speech: NDArray[np.float32], length: int, count: int
) -> list[NDArray[np.float32]]:
    """Cut `count` windows of `length` samples, evenly spread over `speech` `(n_samples,)`.

    Speech shorter than a window is repeated.
    """
    repeats = -(-length // len(speech))
    speech = np.tile(speech, repeats)
    starts = np.linspace(0, len(speech) - length, count).astype(int)
    return [speech[start : start + length] for start in starts]
