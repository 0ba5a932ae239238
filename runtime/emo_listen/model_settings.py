"""`emo_listen.json`: settings of a model folder beyond the hub's own files.

Training writes it, export completes it, and the runtime reads it. A folder without it uses the
defaults below.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emo_listen.errors import ModelError
from emo_listen.model_folder.values import (
    finite,
    mapping,
    number,
    one_line,
    quoted,
    read_json,
    sha256_hex,
)

FILE_NAME = "emo_listen.json"

MIN_WINDOW, MAX_WINDOW = 0.1, 60.0
"""Range of the window, in seconds. Memory for the attention grows with its square."""

MIN_HOP = 0.05
"""Shortest hop, in seconds. The bundled model takes 20 ms a window, here 40 % of a core."""

MAX_THREADS = 256
"""Maximum number of threads or processes."""

TEMPERATURES = (0.01, 100.0)
"""Range of the temperature. Calibration has found 0.7 to 1.5."""

UNCERTAIN = "uncertain"
"""Label if the confidence is below `ModelSettings.uncertain_below`."""


@dataclass
class ModelSettings:
    """How to run one model, where it came from, and what it scored."""

    window: float = 3.0
    """Length of sound for one prediction, 0.1 to 60 seconds."""

    hop: float = 0.5
    """Time from the start of one window to the start of the next, in seconds: 0.05 to `window`."""

    temperature: float = 1.0
    """Divisor of the logits before the softmax (no unit, 0.01 to 100)."""

    uncertain_below: float = 0.0
    """Confidence (probability, 0 to 0.999) below which the label is `uncertain`; 0 for never."""

    head: dict[str, Any] | None = None
    """The linear head after the graph's `embedding`, as read by `emo_listen.head.Head.from_json`;
    None if the model does not support baselines."""

    sha256: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each file in hex, by its path relative to the folder."""

    origin: dict[str, Any] = field(default_factory=dict)
    """Origin of the model: base model, data, commands, licences."""

    scores: dict[str, Any] = field(default_factory=dict)
    """Scores of the model by split and precision (fractions, 0 to 1)."""

    def __post_init__(self) -> None:
        """Check all values.

        Raises:
            ModelError: one is unusable.
        """
        try:
            self._check()
        except ValueError as error:
            raise ModelError(f"{FILE_NAME} cannot be used: {error}") from error

    def _check(self) -> None:
        """Raise ValueError if a field has the wrong type or range."""
        check_window_and_hop(self.window, self.hop)
        self.temperature = number(self.temperature, "temperature", *TEMPERATURES)
        self.uncertain_below = number(self.uncertain_below, "uncertain_below", 0, 0.999)
        for file, value in mapping(self.sha256, "sha256").items():
            sha256_hex(value, f"sha256 of {quoted(file)}")
        mapping({} if self.head is None else self.head, "head")
        mapping(self.origin, "origin")
        mapping(self.scores, "scores")

    @classmethod
    def read(cls, folder: Path) -> ModelSettings:
        """Read `folder/emo_listen.json`; return the defaults if it does not exist.

        Raises:
            ModelError: the file is not a JSON object, or a value is unusable.
        """
        path = folder / FILE_NAME
        try:
            values = read_json(path)
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError) as error:
            raise ModelError(f"{path} cannot be used: {one_line(error)}") from error
        known = {f.name for f in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})

    def write(self, folder: Path) -> Path:
        """Write `folder/emo_listen.json`, with NaN and infinity as null; return its path."""
        path = folder / FILE_NAME
        content = json.dumps(finite(dataclasses.asdict(self)), indent=2, allow_nan=False)
        path.write_text(content + "\n", encoding="utf-8")
        return path

    def add_hashes(self, folder: Path, files: list[Path]) -> None:
        """Store the SHA-256 of `files`, which must be inside `folder`."""
        for file in files:
            self.sha256[file.relative_to(folder).as_posix()] = file_sha256(file)

    def verify(self, folder: Path, file: Path) -> None:
        """Check a file inside `folder` against its stored SHA-256, if there is one.

        Raises:
            ModelError: the file has changed since it was exported.
        """
        expected = self.sha256.get(file.relative_to(folder).as_posix())
        if expected is not None and file_sha256(file) != expected:
            raise ModelError(
                f"{file} does not match the SHA-256 in {FILE_NAME}: it is damaged or was "
                "modified. Copy or export the model again."
            )


def check_window_and_hop(window: Any, hop: Any) -> None:
    """Check a window and a hop, both in seconds.

    Raises:
        ValueError: one is not a number or out of range, or the hop is longer than the window.
    """
    number(window, "window", MIN_WINDOW, MAX_WINDOW)
    number(hop, "hop", MIN_HOP, MAX_WINDOW)
    if hop > window:
        raise ValueError(f"hop is {hop:g}: it must be at most the window, {window:g} s")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
