"""Download ESC-10: 400 recordings of ten everyday sounds, about 180 MB, to use as noise.

    python train/get_esc_10.py --output data/esc-10

ESC-10 is a part of ESC-50; the files are from ESC-50's repository and verified with their git
hashes. Run the same command again to resume a stopped download. Names are
`KIND-FOLD-CLIP-TAKE.wav`.

ESC-10: CC BY 3.0, Karol J. Piczak; the clips are from Freesound.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
from emo_listen.errors import DownloadError
from train.corpus.download import (
    RemoteFile,
    check_count,
    download,
    download_parser,
    fetch,
    in_parallel,
    run_download,
)

REPOSITORY = "karolpiczak/ESC-50"
RAW = f"https://raw.githubusercontent.com/{REPOSITORY}/master"
TREE = f"https://api.github.com/repos/{REPOSITORY}/git/trees/master?recursive=1"
"""List of the repository's files with hashes and sizes."""

RECORDINGS = 400
"""How many recordings ESC-10 has."""

CLASSES = {
    "dog": "dog_bark",
    "crying_baby": "baby_cry",
    "sneezing": "person_sneeze",
    "crackling_fire": "fire_crackling",
}
"""ESC-10's names of the classes that have another name in ESC-50."""


def get_esc_10(output: Path) -> str:
    """Download into `output`; return a summary.

    Raises:
        DownloadError: a file cannot be downloaded, or is not the published one.
        OutputError: a file cannot be written.
    """
    table = csv.DictReader(io.StringIO(fetch(f"{RAW}/meta/esc50.csv").decode("utf-8")))
    rows = [row for row in table if row.get("esc10") == "True"]
    check_count(len(rows), RECORDINGS, "recordings of ESC-10 in meta/esc50.csv")
    tree = {entry["path"]: entry for entry in json.loads(fetch(TREE))["tree"]}
    files = [remote_file(row, tree, output) for row in rows]
    in_parallel(download, files, "recordings", "file")
    return f"{len(files)} recordings"


def remote_file(row: dict[str, str], tree: dict[str, Any], output: Path) -> RemoteFile:
    """Describe the recording of one row of the table."""
    place = f"audio/{row['filename']}"
    if place not in tree:
        raise DownloadError(f"{TREE} does not list {place}: the repository has changed.")
    name = "-".join(
        (
            CLASSES.get(row["category"], row["category"]),
            row["fold"],
            row["src_file"],
            f"{row['take']}.wav",
        )
    )
    entry = tree[place]
    return RemoteFile(f"{RAW}/{place}", output / name, entry["size"], f"git:{entry['sha']}")


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; return the exit code."""
    args = download_parser(__doc__, "data/esc-10").parse_args(argv)
    return run_download(args.output, get_esc_10)


if __name__ == "__main__":
    sys.exit(main())
