"""Compare the exported graphs with PyTorch on real speech of several lengths."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from emo_listen.errors import EmoListenError
from export.checkpoint import PyTorchModel
from export.graph import open_graph
from export.speech import speech_windows
from export.tables import print_table

WINDOW_LENGTHS = (0.1, 0.5, 1.0, 3.0, 5.0, 10.0)
"""Window lengths to compare, in seconds; the first is the shortest that the engine takes."""

WINDOWS_PER_LENGTH = 3
"""Windows to compare at each length, spread over the speech."""

LARGEST_DIFFERENCE = 1e-4
"""Largest absolute difference in the fp32 logits that counts as equal (no unit)."""

ROOM = 10 ** (-66 / 20)
"""Root mean square of the noise added to the speech, as from a quiet room and microphone. In
digital silence, which no microphone gives, a front end that takes logarithms is ill-conditioned:
PyTorch's own logits in float32 and float64 then differ by 3e-3."""


class ParityError(EmoListenError, ArithmeticError):
    """The logits of an fp32 export differ from those of the PyTorch checkpoint."""


@dataclass
class Parity:
    """Largest absolute difference from PyTorch's logits at one window length."""

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
                # NaN must not count as a small difference.
                difference = float(np.nan_to_num(np.abs(logits - expected), nan=np.inf).max())
                differences[path] = max(differences[path], difference)
        rows.append(Parity(seconds, differences[fp32], differences[int8]))

    worst = max(rows, key=lambda row: row.fp32)
    if worst.fp32 > LARGEST_DIFFERENCE:
        raise ParityError(
            f"the fp32 graph's logits differ from PyTorch's by up to {worst.fp32:.3g} (windows of "
            f"{worst.seconds:g} s), more than the allowed {LARGEST_DIFFERENCE:g}. Nothing was "
            "written: report it with the model's name and the output of `pip list`."
        )
    return rows


def print_parity(rows: list[Parity]) -> None:
    """Print the differences as a table."""
    cells = [[f"{row.seconds:g}", f"{row.fp32:.1e}", f"{row.int8:.1e}"] for row in rows]
    print_table(
        "Largest difference from PyTorch's logits", [["window (s)", "fp32", "int8"], *cells]
    )
