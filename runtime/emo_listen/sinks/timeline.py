"""A picture of a sound file: its waveform, its emotions, and their confidence.

The waveform is reduced to the minimum and maximum of each column, so the memory that it takes does
not depend on the file's length.
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
from emo_listen.events import Event, SegmentEvent
from emo_listen.extras import import_extra
from emo_listen.model_settings import UNCERTAIN
from emo_listen.sinks.base import Sink, require_parent_folder
from emo_listen.sound.channel_choice import ChannelChoice, chosen_channels
from emo_listen.sources.audio_file import AudioFile
from emo_listen.sources.base import Source

TIMELINE_TYPES = frozenset({"segment"})
"""The event types that are drawn."""

COLUMNS = 3200
"""Maximum number of columns of the waveform (even); long files have at least half as many."""

SIZE = (12.0, 5.6)
"""Width and height of the picture, in inches."""

LANE_SHARE = 0.7
"""Height of each further channel, as a share of that of the first."""

DOTS_PER_INCH = 150

PICTURE_SUFFIXES = (".png", ".svg", ".pdf")
"""Formats of pictures, by their file name's suffix."""


class TimelineSink(Sink):
    """Draws a sound file and its segments once the file has ended."""

    def __init__(self, picture: Path, source: Source, channels: ChannelChoice = "mix") -> None:
        """Check that the picture can be drawn.

        Args:
            picture: The file to write: PNG, SVG or PDF, according to its suffix.
            source: The sound file that the segments come from.
            channels: The channels that are listened to, each of which is drawn.

        Raises:
            OutputError: `source` is not a file, or `picture` has another suffix or no folder.
            MissingExtraError: the extra `plot` is not installed.
        """
        if not isinstance(source, AudioFile):
            raise OutputError("--plot needs a sound file: give its path as DEVICE")
        import_extra("plot", "matplotlib")
        if picture.suffix.casefold() not in PICTURE_SUFFIXES:
            raise OutputError(f"{picture} must end in {' or '.join(PICTURE_SUFFIXES)}")
        require_parent_folder(picture)
        self._picture = picture
        self._channels = channels
        self._file = Path(str(source))
        self._segments: list[SegmentEvent] = []

    def write(self, event: Event) -> None:
        """Keep a segment."""
        if isinstance(event, SegmentEvent):
            self._segments.append(event)

    def finish(self) -> None:
        """Write the picture.

        Raises:
            OutputError: it cannot be written.
        """
        plot_timeline(self._file, self._segments, self._picture, self._channels)


def plot_timeline(
    file: Path,
    segments: Sequence[SegmentEvent],
    output: Path,
    channels: ChannelChoice = "mix",
) -> None:
    """Draw a sound file and its segments.

    Args:
        file: The sound file.
        segments: Its segments, in order of time, as `listen` yields them.
        output: The picture: PNG, SVG or PDF, according to its suffix.
        channels: The channels that were listened to, each of which is drawn.

    Raises:
        AudioFileError: `file` is damaged.
        OutputError: `output` cannot be written.
        MissingExtraError: the extra `plot` is not installed.
    """
    figure_module = import_extra("plot", "matplotlib.figure")
    lanes: Sequence[int | None] = [None]
    if channels != "mix":
        with open_audio_file(file) as sound:
            lanes = chosen_channels(channels, sound.channels)
    envelopes = [envelope(file, channel) for channel in lanes]
    duration = envelopes[0][2]
    size = (SIZE[0], SIZE[1] * (1 + LANE_SHARE * (len(lanes) - 1)))
    figure = figure_module.Figure(figsize=size, dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots(3 * len(lanes), 1, sharex=True, height_ratios=(3, 2.4, 2) * len(lanes))
    scale, unit = (60, "minutes") if duration >= 180 else (1, "seconds")
    for lane, channel in enumerate(lanes):
        lows, highs, _ = envelopes[lane]
        wave, bands, confidence = axes[3 * lane : 3 * lane + 3]
        edges = np.linspace(0, duration / scale, len(lows) + 1)
        wave.fill_between(edges[:-1], lows, highs, color="0.35", linewidth=0.4)
        peak = max(float(np.abs([lows, highs]).max(initial=0)), 1e-3)
        wave.set(ylabel="sound", ylim=(-1.05 * peak, 1.05 * peak), xlim=(0, duration / scale))
        name = file.name if channel is None else f"{file.name}, channel {channel}"
        wave.set_title(name, loc="left")
        own = [segment for segment in segments if segment.channel == channel]
        _draw_bands(bands, own, scale)
        _draw_confidence(confidence, own, scale)
    axes[-1].set_xlabel(unit)
    try:
        figure.savefig(output)
    except OSError as error:
        raise OutputError(f"{output} cannot be written: {error.strerror}") from error


def envelope(
    file: Path, channel: int | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """Return the minimum and maximum of a file's waveform in each of at most `COLUMNS` columns.

    Args:
        file: The sound file.
        channel: Its channel, from 1; None for the mix.

    Returns:
        The minima, the maxima, both float32 (n_columns,), and the file's length in seconds.

    Raises:
        AudioFileError: the file does not exist, is not sound, or is damaged.
    """
    lows = np.full(COLUMNS, np.inf, np.float32)
    highs = np.full(COLUMNS, -np.inf, np.float32)
    step, received = 1, 0
    with open_audio_file(file) as sound:
        rate = sound.sampling_rate
        blocks = sound if channel is None else (block[:, channel - 1] for block in sound.blocks())
        for block in blocks:
            # The header's length may be wrong, so columns are merged as the file grows.
            while received + len(block) > COLUMNS * step:
                for columns, merge, empty in ((lows, np.min, np.inf), (highs, np.max, -np.inf)):
                    columns[: COLUMNS // 2] = merge(columns.reshape(-1, 2), axis=1)
                    columns[COLUMNS // 2 :] = empty
                step *= 2
            index = np.arange(received, received + len(block)) // step
            np.minimum.at(lows, index, block)
            np.maximum.at(highs, index, block)
            received += len(block)
    used = -(-received // step)
    return lows[:used], highs[:used], received / rate


def colour(label: str) -> tuple[float, float, float]:
    """Return red, green and blue of a label, each 0 to 1."""
    red, green, blue = RGB.get(label, OTHER_RGB)
    return red / 255, green / 255, blue / 255


def _draw_bands(axes: Any, segments: Sequence[SegmentEvent], scale: float) -> None:
    """Draw a row for each label, with a bar for each of its segments."""
    labels = sorted(
        {segment.label for segment in segments}, key=lambda label: (label == UNCERTAIN, label)
    )
    for row, label in enumerate(labels):
        spans = [
            (segment.start / scale, (segment.end - segment.start) / scale)
            for segment in segments
            if segment.label == label
        ]
        axes.broken_barh(spans, (row - 0.4, 0.8), hatch=_hatch(label), **_style(label))
    if not segments:
        axes.text(0.5, 0.5, "no speech", ha="center", va="center", transform=axes.transAxes)
    axes.set_yticks(range(len(labels)), labels)
    axes.set(ylim=(max(len(labels), 1) - 0.5, -0.5))
    axes.tick_params(axis="y", length=0)


def _draw_confidence(axes: Any, segments: Sequence[SegmentEvent], scale: float) -> None:
    """Draw the confidence of each segment as a bar in its label's colour."""
    for label in dict.fromkeys(segment.label for segment in segments):
        of_label = [segment for segment in segments if segment.label == label]
        axes.bar(
            [segment.start / scale for segment in of_label],
            [segment.confidence for segment in of_label],
            [(segment.end - segment.start) / scale for segment in of_label],
            align="edge",
            hatch=_hatch(label),
            **_style(label),
        )
    axes.set(ylabel="confidence", ylim=(0, 1))
    axes.set_axisbelow(True)
    axes.grid(axis="y", linewidth=0.4, alpha=0.5)


def _style(label: str) -> dict[str, Any]:
    """Return the bar style of a label; its edge keeps short segments of long files visible."""
    edge = (0.6, 0.6, 0.6) if label == UNCERTAIN else colour(label)
    return {"facecolor": colour(label), "edgecolor": edge, "linewidth": 0.5}


def _hatch(label: str) -> str | None:
    return "////" if label == UNCERTAIN else None
