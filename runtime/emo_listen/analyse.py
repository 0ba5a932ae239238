"""`emo-listen analyse`: files and folders, in parallel, into one file of results."""

from __future__ import annotations

import argparse
import contextlib
import csv
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import soundfile
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from emo_listen.audformat_folder import check_audformat_folder, write_audformat
from emo_listen.errors import AudioFileError, OutputError
from emo_listen.events import LabelEvent, SegmentEvent, WindowEvent
from emo_listen.journal import Journal
from emo_listen.model import EmotionModel
from emo_listen.options import add_model_options, positive_int
from emo_listen.settings import file_sha256
from emo_listen.sinks.csv_rows import LEADING_COLUMNS
from emo_listen.workers import Hearing, analyse_files

NO_SOUND = {".htk", ".mat4", ".mat5", ".raw", ".sds", ".svx", ".xi"}
"""Ends of names that libsndfile knows, but which mostly mean something else in a folder."""

SOUND_SUFFIXES = {f".{name.casefold()}" for name in soundfile.available_formats()} - NO_SOUND | {
    *(".aac", ".aif", ".aifc", ".amr", ".m4a", ".oga", ".opus", ".wma"),
}
"""Ends of names that mean sound in a folder; libsndfile cannot read all of them, which is said."""

FORMATS = {".jsonl": "jsonl", ".csv": "csv", "": "audformat"}
"""Format that the end of `--output` means."""

EPILOG = """\
results.jsonl has, for each file, its segments, each with its file, and one closing line; an
unreadable file has one line of type error. results.csv has the same as rows, with a column for
each score; a name without an end is a folder in audformat. Beside these two stands a .journal.
Run the same command again to go on after Ctrl-C, or after files were added or changed.

exit codes: 0 all files were heard, 1 some could not be, 2 nothing could be done, 130 Ctrl-C.
"""


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="emo-listen analyse",
        description="Tell the emotions in sound files and in folders of them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="a sound file, or a folder with all below it"
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="PATH",
        help="where the results go: NAME.jsonl, NAME.csv, or a folder in audformat",
    )
    parser.add_argument(
        "--jobs",
        type=positive_int,
        default=_usable_cores(),
        metavar="N",
        help="files at a time, each on one CPU thread (default: the cores, %(default)s)",
    )
    add_model_options(parser)
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> int:
    """Analyse; return the exit code.

    Raises:
        AudioFileError: a path is absent, or no sound file is found.
        ModelError: the model cannot be loaded.
        OutputError: the results cannot be written.
        MissingExtraError: audformat is not installed.
    """
    form = _check_output(args)
    files = find_sound_files(args.paths)
    model = EmotionModel.load(args.model)
    window = model.settings.window if args.window is None else args.window
    hop = min(model.settings.hop, window) if args.hop is None else args.hop
    hearing = Hearing(args.model, window, hop, args.vad, args.emit)
    output: Path = args.output
    path = output if form == "jsonl" else output.with_name(output.name + ".journal")
    journal = Journal(path, _header(model, hearing))
    try:
        failed = _analyse_missing(files, journal, hearing, args.jobs)
    except KeyboardInterrupt:
        print("Stopped. Give the same command again to go on from here.", file=sys.stderr)
        return 130
    journal.finish()
    if form == "csv":
        _write_csv(output, journal, model.labels)
    elif form == "audformat":
        write_audformat(output, _label_rows(journal), labels=model.labels, model=model.name)
    print(f"Results: {output}", file=sys.stderr)
    return 1 if failed else 0


def find_sound_files(paths: Sequence[str]) -> list[str]:
    """Return the files that `paths` name, and the sound files in the folders that they name.

    Hidden files and folders are left out, and links to folders are not followed.

    Raises:
        AudioFileError: a path is absent, or there is no sound file.
    """
    found = dict[str, None]()
    for path in paths:
        if os.path.isdir(path):
            for folder, subfolders, names in os.walk(path):
                subfolders[:] = sorted(n for n in subfolders if not n.startswith("."))
                for name in sorted(names):
                    suffix = os.path.splitext(name)[1].casefold()
                    if suffix in SOUND_SUFFIXES and not name.startswith("."):
                        found[os.path.normpath(os.path.join(folder, name))] = None
        elif os.path.exists(path):
            found[os.path.normpath(path)] = None
        else:
            raise AudioFileError(f"{path} is neither a file nor a folder")
    if not found:
        raise AudioFileError(f"no sound file in {', '.join(paths)}: give files, or other folders")
    return list(found)


def _analyse_missing(files: list[str], journal: Journal, hearing: Hearing, jobs: int) -> int:
    """Analyse what the journal lacks; return how many of the files cannot be read."""
    closings = {file: _closing(file) for file in files}
    missing = [file for file in files if journal.closing(file) != closings[file]]
    if len(missing) < len(files):
        print(f"Done already: {len(files) - len(missing)} of {len(files)} files.", file=sys.stderr)
    console = Console(stderr=True, highlight=False)
    columns = (
        BarColumn(None),
        TextColumn("{task.fields[files]} of {task.fields[count]} files, {task.fields[speed]}"),
        TimeRemainingColumn(compact=True),
    )
    heard = dict.fromkeys(missing, 0.0)
    seconds = 0.0
    started = time.monotonic()
    done = failed = 0
    with (
        tempfile.TemporaryDirectory(prefix="emo-listen-") as folder,
        Progress(*columns, console=console, disable=not console.is_terminal) as bar,
        contextlib.closing(
            analyse_files(missing, hearing=hearing, jobs=jobs, folder=Path(folder))
        ) as reports,
    ):
        total = sum(closings[file]["seconds"] for file in missing)
        task = bar.add_task("", total=total, files=0, count=len(missing), speed="")
        for report in reports:
            file = report.file
            before = heard[file]
            heard[file] = closings[file]["seconds"] if report.done else report.seconds
            seconds += heard[file] - before
            if report.done:
                done += 1
                closing = closings[file]
                if report.error is not None:
                    failed += 1
                    closing = {"type": "error", "file": file, "error": report.error}
                    text = report.error if file in report.error else f"{file}: {report.error}"
                    console.print(text, style="red", soft_wrap=True)
                journal.append(report.events, closing)
            speed = f"{seconds / (time.monotonic() - started):.0f} times real time"
            bar.update(task, completed=seconds, files=done, speed=speed)
    elapsed = time.monotonic() - started
    print(
        f"Files: {done}, of which {failed} failed; {seconds / 60:.1f} minutes of sound in "
        f"{elapsed:.1f} s ({seconds / elapsed:.0f} times real time).",
        file=sys.stderr,
    )
    return failed


def _closing(file: str) -> dict[str, Any]:
    """Return the line that closes a file's events, by which a later run knows it unchanged."""
    stat = os.stat(file)
    try:
        seconds = soundfile.info(file).duration
    except (soundfile.SoundFileError, OSError, TypeError):
        seconds = 0.0  # Whoever analyses it says what is wrong with it.
    return {
        "type": "file",
        "file": file,
        "size": stat.st_size,
        "modified_ns": stat.st_mtime_ns,
        "seconds": seconds,
    }


def _header(model: EmotionModel, hearing: Hearing) -> dict[str, Any]:
    return {
        "type": "analysis",
        "version": version("emo-listen"),
        "model": model.name,
        "sha256": file_sha256(model.file),
        "window": hearing.window,
        "hop": hearing.hop,
        "vad": hearing.vad,
        "emit": hearing.emit,
    }


def _check_output(args: argparse.Namespace) -> str:
    """Return the format that `--output` means, before any work is done."""
    output: Path = args.output
    form = FORMATS.get(output.suffix.casefold())
    if form is None:
        raise OutputError(f"{output} must end in .jsonl or .csv, or be a folder for audformat")
    if not output.parent.is_dir():
        raise OutputError(f"{output.parent} is not a folder: make it first")
    if form == "audformat":
        check_audformat_folder(output)
    elif output.is_dir():
        raise OutputError(f"{output} is a folder: give a file")
    if form == "csv" and output.exists() and not _is_ours(output):
        raise OutputError(f"{output} is there already, and not by us: give another --output")
    if form != "jsonl" and args.emit == "all":
        raise OutputError(f"{output} holds one kind of row: give --emit segments or windows")
    return form


def _is_ours(output: Path) -> bool:
    return output.with_name(output.name + ".journal").is_file()


def _write_csv(output: Path, journal: Journal, labels: list[str]) -> None:
    """Write the rows and the errors of a journal as CSV, all at once."""
    new = output.with_name(output.name + ".tmp")
    with new.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", *LEADING_COLUMNS, *labels, "error"])
        for row in journal.rows():
            if row["type"] == "error":
                blanks = [""] * (len(LEADING_COLUMNS) + len(labels))
                writer.writerow([row["file"], *blanks, row["error"]])
            elif row["type"] in ("segment", "window"):
                scores = [row["scores"][label] for label in labels]
                leading = [row[column] for column in LEADING_COLUMNS]
                writer.writerow([row["file"], *leading, *scores, ""])
    new.replace(output)


def _label_rows(journal: Journal) -> Iterator[tuple[str, LabelEvent]]:
    for row in journal.rows():
        kind = row.pop("type")
        if kind in ("segment", "window"):
            file = row.pop("file")
            yield file, (SegmentEvent if kind == "segment" else WindowEvent)(**row)


def _usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
