"""Download EMO-DB: 535 clips of ten German actors, 40 MB, from its owners' deposit on Zenodo.

    python train/get_emo_db.py --output data/emo-db

Run the same command again to resume a stopped download. The archive is verified with the MD5 that
Zenodo publishes; its clips are unpacked into `wav/`. Training leaves out boredom, which no other
corpus has: 454 clips in six classes remain.

EMO-DB (Burkhardt et al. 2005), version 1.3.0. The copy that the bundled model was trained on is
CC0 1.0, as audEERING publishes it; the licence of this one is on the page of the deposit.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
from emo_listen.errors import DownloadError
from train.corpus.download import (
    RemoteFile,
    check_count,
    download_file,
    download_parser,
    run_download,
    writing,
)
from train.corpus.emo_db import NAME

ARCHIVE = "https://zenodo.org/records/7447302/files/emodb.zip?download=1"
MD5 = "9d21362dbc5676ef3ab4745d83ced0db"

CLIPS = 535
"""How many clips the corpus has, boredom included."""


def get_emo_db(output: Path) -> str:
    """Download into `output`; return a summary.

    Raises:
        DownloadError: it cannot be downloaded, or is not the published one.
        OutputError: a file cannot be written.
    """
    wav = output / "wav"
    if sum(1 for file in wav.glob("*.wav") if NAME.fullmatch(file.stem)) < CLIPS:
        archive = output / "emodb.zip"
        download_file(RemoteFile(ARCHIVE, archive, digest=f"md5:{MD5}"))
        extract(archive, wav)
        archive.unlink()
    return f"{CLIPS} clips"


def extract(archive: Path, wav: Path) -> None:
    """Unpack the clips of the archive into `wav`, without their folders."""
    try:
        with zipfile.ZipFile(archive) as opened:
            names = [Path(name) for name in opened.namelist()]
            clips = [name for name in names if name.suffix == ".wav" and NAME.fullmatch(name.stem)]
            check_count(len({clip.name for clip in clips}), CLIPS, f"clips in {archive.name}")
            with writing(wav):
                wav.mkdir(parents=True, exist_ok=True)
                for clip in clips:
                    (wav / clip.name).write_bytes(opened.read(clip.as_posix()))
    except zipfile.BadZipFile as error:
        raise DownloadError(
            f"{archive} is damaged: {error}. Delete it and run the command again."
        ) from error


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; return the exit code."""
    args = download_parser(__doc__, "data/emo-db").parse_args(argv)
    return run_download(args.output, get_emo_db)


if __name__ == "__main__":
    sys.exit(main())
