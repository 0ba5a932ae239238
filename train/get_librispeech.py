"""Download small parts of LibriSpeech, ordinary read speech, from OpenSLR.

    python train/get_librispeech.py --output data/librispeech
    python train/get_librispeech.py --output data/librispeech --subsets train-clean-100

By default `train-clean-5` and `dev-clean-2` (Mini LibriSpeech, 460 MB) and `test-other` (330 MB);
`train-clean-100` has all 251 training readers of `train/corpus/splits/librispeech.csv`, in 6.4 GB.
Run the same command again to resume a stopped download. Each archive is verified with OpenSLR's
MD5, unpacked into `LibriSpeech/`, and deleted.

LibriSpeech (Panayotov et al. 2015): CC BY 4.0, from LibriVox recordings.
"""

from __future__ import annotations

import gzip
import os
import sys
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
from tqdm import tqdm

from emo_listen.errors import DownloadError
from train.corpus.download import RemoteFile, download_file, download_parser, run_download, writing

OPENSLR = "https://www.openslr.org/resources"

SUBSETS = {
    "train-clean-5": (31, 332_954_390, "5df7d4e78065366204ca6845bb08f490"),
    "dev-clean-2": (31, 126_046_265, "6d7ab67ac6a1d2c993d050e16d61080d"),
    "dev-clean": (12, 337_926_286, "42e2234ba48799c1f50f24a7926300a1"),
    "dev-other": (12, 314_305_928, "c8d0bcc9cca99d4f8b62fcc847357931"),
    "test-clean": (12, 346_663_984, "32fa31d27d2e1cad72775fee3f4849a9"),
    "test-other": (12, 328_757_843, "fb5a50374b501bb3bac4815ee91d3135"),
    "train-clean-100": (12, 6_387_309_499, "2a93770f6d5c6c964bc36631d331a522"),
}
"""OpenSLR's resource number, bytes and MD5 (from its `md5sum.txt`) of each archive."""

DEFAULT = ("train-clean-5", "dev-clean-2", "test-other")


def get_librispeech(output: Path, subsets: Sequence[str]) -> str:
    """Download some of `SUBSETS` into `output`; return a summary.

    Raises:
        DownloadError: one cannot be downloaded, or is not the published one.
        OutputError: a file cannot be written.
    """
    summary = []
    for subset in subsets:
        folder = output / "LibriSpeech" / subset
        if not folder.is_dir():
            resource, size, md5 = SUBSETS[subset]
            archive = output / f"{subset}.tar.gz"
            url = f"{OPENSLR}/{resource}/{archive.name}"
            download_file(RemoteFile(url, archive, size, f"md5:{md5}"))
            extract(archive, folder)
            archive.unlink()
        summary.append(f"{subset} ({sum(1 for _ in folder.rglob('*.flac')):,} clips)")
    return ", ".join(summary)


def extract(archive: Path, folder: Path) -> None:
    """Unpack a subset; `folder` appears only once it is complete."""
    with writing(archive.parent), TemporaryDirectory(dir=archive.parent) as staging:
        try:
            with tarfile.open(archive) as opened:
                for member in tqdm(opened, desc=f"unpack {archive.name}", unit="file"):
                    opened.extract(member, staging, filter="data")
        except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DownloadError(
                f"{archive} is damaged: {error}. Delete it and run the command again."
            ) from error
        unpacked = Path(staging) / "LibriSpeech" / folder.name
        if not unpacked.is_dir():
            raise DownloadError(
                f"{archive} has no folder LibriSpeech/{folder.name}: delete it and run the "
                "command again."
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        os.replace(unpacked, folder)


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; return the exit code."""
    parser = download_parser(__doc__, "data/librispeech")
    parser.add_argument(
        "--subsets",
        nargs="+",
        choices=SUBSETS,
        default=list(DEFAULT),
        help=f"subsets to download (default: {' '.join(DEFAULT)})",
    )
    args = parser.parse_args(argv)
    return run_download(args.output, lambda output: get_librispeech(output, args.subsets))


if __name__ == "__main__":
    sys.exit(main())
