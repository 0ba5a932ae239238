"""`emo_listen.json`: what a model folder says beyond the hub's own files.

Training writes it, export completes it, the runtime reads it. A folder without it still
works, with the defaults stated here.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emo_listen.errors import ModelError

FILE_NAME = "emo_listen.json"

UNCERTAIN = "uncertain"
"""Label where the model is less confident than `ModelSettings.uncertain_below`."""


@dataclass
class ModelSettings:
    """How to run one model, where it came from, and what it scored."""

    window: float = 3.0
    """Length of sound that one prediction looks at, in seconds."""

    hop: float = 0.5
    """Time from the start of one window to the start of the next, in seconds."""

    temperature: float = 1.0
    """Divisor of the logits before the softmax (no unit, above 0)."""

    uncertain_below: float = 0.0
    """Confidence (probability, 0 to below 1) below which the label is `uncertain`; 0 never."""

    head: dict[str, Any] | None = None
    """The linear head behind the graph's `embedding`, as `emo_listen.head.Head.from_json` reads it;
    None where the model takes no baseline."""

    sha256: dict[str, str] = field(default_factory=dict)
    """SHA-256 in hex of each file, by its path relative to the folder."""

    origin: dict[str, Any] = field(default_factory=dict)
    """Where the model came from: base model, data, commands, licences."""

    scores: dict[str, Any] = field(default_factory=dict)
    """What the model scored, by split and precision (fractions, 0 to 1)."""

    def __post_init__(self) -> None:
        """Refuse values that no listener could run with."""
        if not (0 < self.hop <= self.window):
            raise ModelError(
                f"{FILE_NAME}: hop ({self.hop} s) must be above 0 and at most the window "
                f"({self.window} s)"
            )
        if not self.temperature > 0:
            raise ModelError(f"{FILE_NAME}: temperature ({self.temperature}) must be above 0")
        if not (0 <= self.uncertain_below < 1):
            raise ModelError(
                f"{FILE_NAME}: uncertain_below ({self.uncertain_below}) must be from 0 to below 1"
            )

    @classmethod
    def read(cls, folder: Path) -> ModelSettings:
        """Read `folder/emo_listen.json`, or return the defaults where there is none.

        Raises:
            ModelError: the file is not a JSON object, or a value is unusable.
        """
        path = folder / FILE_NAME
        if not path.is_file():
            return cls()
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            known = {f.name for f in dataclasses.fields(cls)}
            return cls(**{name: value for name, value in values.items() if name in known})
        except (json.JSONDecodeError, UnicodeDecodeError, AttributeError, TypeError) as error:
            raise ModelError(f"{path} is not a valid {FILE_NAME}: {error}") from error

    def write(self, folder: Path) -> Path:
        """Write `folder/emo_listen.json` and return its path."""
        path = folder / FILE_NAME
        path.write_text(json.dumps(dataclasses.asdict(self), indent=2) + "\n", encoding="utf-8")
        return path

    def add_hashes(self, folder: Path, files: list[Path]) -> None:
        """Store the SHA-256 of `files`, which lie below `folder`."""
        for file in files:
            self.sha256[file.relative_to(folder).as_posix()] = file_sha256(file)

    def verify(self, folder: Path, file: Path) -> None:
        """Check `file` below `folder` against its stored SHA-256, where one is stored.

        Raises:
            ModelError: the file's bytes are not those that were exported.
        """
        expected = self.sha256.get(file.relative_to(folder).as_posix())
        if expected is not None and file_sha256(file) != expected:
            raise ModelError(
                f"{file} does not match the SHA-256 in {FILE_NAME}: it is damaged or was "
                "changed. Copy or export the model again."
            )


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
