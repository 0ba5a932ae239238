"""Download CREMA-D: 7,442 clips of 91 actors, about 600 MB, from its owners' repository.

    python train/get_crema_d.py --output data/crema-d

Run the same command again to resume a stopped download. Each clip is verified with its SHA-256
in the repository. The folder also gets the owners' tables of votes and actors, and `splits.csv`:
which actors are for training, validation and the test.

CREMA-D: database under ODbL 1.0, contents under DbCL 1.0.
"""

from __future__ import annotations

import csv
import io
import re
import shutil
import sys
from pathlib import Path

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
from emo_listen.errors import DownloadError
from train.corpus.crema_d import NAME, SPLITS_FILE
from train.corpus.download import (
    RemoteFile,
    check_count,
    download,
    download_parser,
    fetch,
    in_parallel,
    run_download,
    writing,
)

REPOSITORY = "CheyneyComputerScience/CREMA-D/master"

RAW = f"https://raw.githubusercontent.com/{REPOSITORY}"
"""Where the tables are, and the git-lfs pointer of each clip: its hash and size."""

MEDIA = f"https://media.githubusercontent.com/media/{REPOSITORY}"
"""Where the clips themselves are."""

VOTES = "processedResults/summaryTable.csv"
ACTORS = "VideoDemographics.csv"

CLIPS = 7442
"""How many clips the corpus has."""

POINTER = re.compile(r"oid sha256:(?P<sha256>[0-9a-f]{64})\nsize (?P<size>\d+)")


def get_crema_d(output: Path) -> str:
    """Download into `output`; return a summary.

    Raises:
        DownloadError: a file cannot be downloaded, or is not the published one.
        OutputError: a file cannot be written.
    """
    for table in (VOTES, ACTORS):
        download(RemoteFile(f"{RAW}/{table}", output / Path(table).name))
    votes = (output / Path(VOTES).name).read_text(encoding="utf-8")
    names = [row.get("FileName") or "" for row in csv.DictReader(io.StringIO(votes))]
    names = [name for name in names if NAME.fullmatch(name)]
    check_count(len(set(names)), CLIPS, f"clips in {VOTES}")
    in_parallel(lambda name: get_clip(name, output), names, "clips", "clip")
    with writing(output / "splits.csv"):
        shutil.copyfile(SPLITS_FILE, output / "splits.csv")
    return f"{len(names):,} clips"


def get_clip(name: str, output: Path) -> None:
    """Download one clip, unless it exists: a file with this name has been verified."""
    place = f"AudioWAV/{name}.wav"
    if (output / place).is_file():
        return
    pointer = POINTER.search(fetch(f"{RAW}/{place}").decode("utf-8", errors="replace"))
    if pointer is None:
        raise DownloadError(f"{RAW}/{place} is not a git-lfs pointer: the repository has changed.")
    download(
        RemoteFile(
            f"{MEDIA}/{place}",
            output / place,
            int(pointer["size"]),
            f"sha256:{pointer['sha256']}",
        )
    )


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; return the exit code."""
    args = download_parser(__doc__, "data/crema-d").parse_args(argv)
    return run_download(args.output, get_crema_d)


if __name__ == "__main__":
    sys.exit(main())
