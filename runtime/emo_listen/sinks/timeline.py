"""A picture of a file: its waveform, the emotions heard in it, and how sure they are.

The waveform is kept as the least and greatest sample of each column of pixels, so that an hour
takes no more memory than a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_listen.audio import open_audio_file
from emo_listen.colours import OTHER_RGB, RGB
from emo_listen.errors import OutputError
from emo_listen.events import LabelEvent
from emo_listen.extras import import_extra
from emo_listen.model_settings import UNCERTAIN

COLUMNS = 3200
"""Columns that the waveform has at most, an even number; it has at least half of them."""

SIZE = (12.0, 5.6)
"""Width and height of the picture in inches, at `DOTS_PER_INCH`."""

DOTS_PER_INCH = 150

PICTURE_SUFFIXES = (".png", ".svg", ".pdf")
"""Ends of names that a picture may have."""


def check_plot(path: Path) -> None:
    """Refuse, before any work is done, what `plot_timeline` would refuse.

    Raises:
        OutputError: the name's end is of no kind of picture, or there is no such folder.
        MissingExtraError: the extra `plot` is not installed.
    """
    import_extra("plot")
    if path.suffix.casefold() not in PICTURE_SUFFIXES:
        raise OutputError(f"{path} must end in {', '.join(PICTURE_SUFFIXES)}: it is a picture")
    if not path.parent.is_dir():
        raise OutputError(f"{path.parent} is not a folder: make it first")


def plot_timeline(file: Path, events: Sequence[LabelEvent], output: Path) -> None:
    """Draw what was heard in `file` as a picture.

    Args:
        file: The sound file.
        events: Its segments, in order of time, as `listen` yields them.
        output: The picture: PNG, SVG or PDF, as its name ends.

    Raises:
        AudioFileError: `file` is damaged.
        OutputError: `output` cannot be written.
        MissingExtraError: the extra `plot` is not installed.
    """
    figure_module = import_extra("plot", "matplotlib.figure")
    lows, highs, duration = envelope(file)
    figure = figure_module.Figure(figsize=SIZE, dpi=DOTS_PER_INCH, layout="constrained")
    wave, bands, sure = figure.subplots(3, 1, sharex=True, height_ratios=(3, 2.4, 2))
    scale, unit = (60, "minutes") if duration >= 180 else (1, "seconds")
    edges = np.linspace(0, duration / scale, len(lows) + 1)
    wave.fill_between(edges[:-1], lows, highs, color="0.35", linewidth=0.4)
    peak = max(float(np.abs([lows, highs]).max(initial=0)), 1e-3)
    wave.set(ylabel="sound", ylim=(-1.05 * peak, 1.05 * peak), xlim=(0, duration / scale))
    wave.set_title(file.name, loc="left")
    _draw_bands(bands, events, scale)
    _draw_confidence(sure, events, scale)
    sure.set_xlabel(unit)
    try:
        figure.savefig(output)
    except OSError as error:
        raise OutputError(f"{output} cannot be written: {error.strerror}") from error


def envelope(file: Path) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """Return the least and greatest sample in each of at most `COLUMNS` stretches of a file.

    Returns:
        Two arrays, float32 (n_columns,), and the file's length in seconds.

    Raises:
        AudioFileError: the file is absent, no sound, or damaged.
    """
    lows = np.full(COLUMNS, np.inf, np.float32)
    highs = np.full(COLUMNS, -np.inf, np.float32)
    step, received = 1, 0
    with open_audio_file(file) as sound:
        rate = sound.sampling_rate
        for block in sound:
            # A header may be wrong about the length, so columns are joined as sound comes.
            while received + len(block) > COLUMNS * step:
                for columns, join, empty in ((lows, np.min, np.inf), (highs, np.max, -np.inf)):
                    columns[: COLUMNS // 2] = join(columns.reshape(-1, 2), axis=1)
                    columns[COLUMNS // 2 :] = empty
                step *= 2
            index = np.arange(received, received + len(block)) // step
            np.minimum.at(lows, index, block)
            np.maximum.at(highs, index, block)
            received += len(block)
    used = -(-received // step)
    return lows[:used], highs[:used], received / rate


def colour(label: str) -> tuple[float, float, float]:
    """Red, green and blue of a label, each 0 to 1."""
    red, green, blue = RGB.get(label, OTHER_RGB)
    return red / 255, green / 255, blue / 255


def _draw_bands(axes: Any, events: Sequence[LabelEvent], scale: float) -> None:
    """Draw a band for each label, with a stretch for each segment; blank where nobody speaks."""
    labels = sorted(
        {event.label for event in events}, key=lambda label: (label == UNCERTAIN, label)
    )
    for row, label in enumerate(labels):
        spans = [(e.start / scale, (e.end - e.start) / scale) for e in events if e.label == label]
        axes.broken_barh(spans, (row - 0.4, 0.8), hatch=_hatch(label), **_style(label))
    if not events:
        axes.text(0.5, 0.5, "no speech", ha="center", va="center", transform=axes.transAxes)
    axes.set_yticks(range(len(labels)), labels)
    axes.set(ylim=(max(len(labels), 1) - 0.5, -0.5))
    axes.tick_params(axis="y", length=0)


def _draw_confidence(axes: Any, events: Sequence[LabelEvent], scale: float) -> None:
    """Draw a level for each segment, in its colour."""
    for label in dict.fromkeys(event.label for event in events):
        of_label = [event for event in events if event.label == label]
        axes.bar(
            [event.start / scale for event in of_label],
            [event.confidence for event in of_label],
            [(event.end - event.start) / scale for event in of_label],
            align="edge",
            hatch=_hatch(label),
            **_style(label),
        )
    axes.set(ylabel="confidence", ylim=(0, 1))
    axes.set_axisbelow(True)
    axes.grid(axis="y", linewidth=0.4, alpha=0.5)


def _style(label: str) -> dict[str, Any]:
    """Face and edge; the edge keeps a short segment of a long file visible."""
    edge = (0.6, 0.6, 0.6) if label == UNCERTAIN else colour(label)
    return {"facecolor": colour(label), "edgecolor": edge, "linewidth": 0.5}


def _hatch(label: str) -> str | None:
    return "////" if label == UNCERTAIN else None
