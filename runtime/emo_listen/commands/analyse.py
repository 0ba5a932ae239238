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

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from emo_listen.baselines.references import open_reference
from emo_listen.commands.grouping import group_digest, group_files, grouping
from emo_listen.commands.journal import Journal, LinesOnStandardOutput
from emo_listen.commands.options import (
    add_model_options,
    in_range,
    listen_options,
    one_kind_of_row,
)
from emo_listen.commands.sound_files import find_sound_files
from emo_listen.commands.workers import analyse_files
from emo_listen.engine import ListenOptions
from emo_listen.errors import BaselineError, OutputError
from emo_listen.events import Emit, LabelEvent, SegmentEvent, WindowEvent
from emo_listen.model import EmotionModel
from emo_listen.model_settings import MAX_THREADS, file_sha256
from emo_listen.sinks.audformat import check_audformat_folder, write_audformat
from emo_listen.sinks.csv_rows import LEADING_COLUMNS

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

FORMATS = {".jsonl": "jsonl", ".csv": "csv", "": "audformat"}
"""Format that the end of `--output` means."""

EPILOG = """\
With --baseline auto, each file is taken for one voice, whose ordinary speech is estimated from all
of it before anything is labelled; --group-by takes the files of a folder, or those with the same
match in their path, for one voice: --group-by folder, --group-by 'speaker(\\d+)'. A file whose path
has no match stands alone. One process hears a voice, so that --jobs helps where there are several.

Without --output, the results are JSON Lines on standard output: for each file its segments, each
with its file, and one closing line; an unreadable file has one line of type error. results.jsonl
has the same, in the order of the files' names. results.csv has the same as rows, with a column for
each score; a name without an end is a folder in audformat. Beside these two stands a .journal.
Run the same command again to go on after Ctrl-C, or after files were added, changed or deleted.

File names that are not UTF-8 keep their bytes in CSV, are escaped in JSON Lines as Python's
surrogateescape does (byte E9 is \\udce9), and in audformat (\\xe9).

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
        metavar="PATH",
        help="where the results go: NAME.jsonl, NAME.csv, or a folder in audformat (default: "
        "standard output, as JSON Lines)",
    )
    parser.add_argument(
        "--jobs",
        type=in_range(int, 1, MAX_THREADS),
        default=_usable_cores(),
        metavar="N",
        help="files at a time, each on one CPU thread (default: the cores, %(default)s)",
    )
    add_model_options(parser)
    parser.add_argument(
        "--group-by",
        type=_checked_grouping,
        metavar="folder|PATTERN",
        help="which files are of one voice (default: each stands alone)",
    )
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> int:
    """Analyse; return the exit code.

    Raises:
        AudioFileError: a path is absent, or no sound file is found.
        ModelError: the model cannot be loaded.
        OutputError: the results cannot be written.
        MissingExtraError: audformat is not installed.
    """
    output: Path | None = args.output
    form = None if output is None else _check_output(output, args.emit)
    files, unreadable = find_sound_files(args.paths)
    model = EmotionModel.load(args.model)
    options = listen_options(args)
    open_reference(model, options.baseline)
    if args.group_by and (args.baseline != "auto" or model.head is None):
        raise BaselineError("--group-by needs --baseline auto, and a model that takes a baseline")
    header = _header(model, options, args.group_by)
    worker_args = (args.model, options, args.jobs)
    groups = group_files(files, grouping(args.group_by)) if args.group_by else [[f] for f in files]
    if output is None:
        return _analyse(groups, unreadable, LinesOnStandardOutput(header), *worker_args)
    path = output if form == "jsonl" else output.with_name(output.name + ".journal")
    journal = Journal(path, header)
    code = _analyse(groups, unreadable, journal, *worker_args)
    if code == INTERRUPTED:
        print("Give the same command again to go on from here.", file=sys.stderr)
        return code
    if gone := journal.drop_missing(except_for={*files, *unreadable}):
        print(f"Left out: {gone} files that are no longer there.", file=sys.stderr)
    journal.finish()
    if form == "csv":
        _write_csv(output, journal, model.labels)
    elif form == "audformat":
        write_audformat(output, _label_rows(journal), labels=model.labels, model=model.name)
    print(f"Results: {output}", file=sys.stderr)
    return code


def _analyse(
    groups: list[list[str]],
    unreadable: dict[str, str],
    results: Journal | LinesOnStandardOutput,
    model: Path | None,
    options: ListenOptions,
    jobs: int,
) -> int:
    """Analyse what the results lack; return the exit code."""
    for folder, reason in unreadable.items():
        print(f"{folder} {reason}", file=sys.stderr)
        results.append(None, {"type": "error", "file": folder, "error": f"{folder} {reason}"})
    try:
        failed = _analyse_missing(groups, results, model, options, jobs)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return INTERRUPTED
    return 1 if failed or unreadable else 0


def _analyse_missing(
    groups: list[list[str]],
    results: Journal | LinesOnStandardOutput,
    model: Path | None,
    options: ListenOptions,
    jobs: int,
) -> int:
    """Analyse the groups that the results lack; return how many files cannot be read."""
    states = {file: _state(file) for group in groups for file in group}
    for group in groups:
        if len(group) > 1:
            digest = group_digest(group, states)
            for file in group:
                states[file] = {**states[file], "group": digest}
    lacking = [
        group
        for group in groups
        if not all(_is_done(results.closing(file), states[file]) for file in group)
    ]
    missing = [file for group in lacking for file in group]
    if len(missing) < len(states):
        done = len(states) - len(missing)
        print(f"Done already: {done} of {len(states)} files.", file=sys.stderr)
    console = Console(stderr=True, highlight=False)
    columns = (
        BarColumn(None),
        TextColumn("{task.fields[files]} of {task.fields[count]} files, {task.fields[speed]}"),
        TimeRemainingColumn(compact=True),
    )
    quiet = not console.is_terminal or (results.on_standard_output and sys.stdout.isatty())
    heard = dict.fromkeys(missing, 0.0)
    shares = dict.fromkeys(missing, 0.0)
    started = time.monotonic()
    done = failed = 0
    with (
        tempfile.TemporaryDirectory(prefix="emo-listen-") as folder,
        Progress(*columns, console=console, disable=quiet) as bar,
        contextlib.closing(
            analyse_files(lacking, model=model, options=options, jobs=jobs, folder=Path(folder))
        ) as reports,
    ):
        total = sum(states[file]["size"] for file in missing)
        task = bar.add_task("", total=total, files=0, count=len(missing), speed="")
        for report in reports:
            file = report.file
            heard[file] = report.seconds
            shares[file] = 1.0 if report.done else report.share
            if report.done:
                done += 1
                closing = {"type": "file", "file": file, **states[file], "seconds": report.seconds}
                if report.error is not None:
                    failed += 1
                    closing = {"type": "error", "file": file, "error": report.error}
                    text = report.error if file in report.error else f"{file}: {report.error}"
                    console.print(text, style="red", soft_wrap=True, markup=False)
                results.append(report.events, closing)
            speed = f"{sum(heard.values()) / (time.monotonic() - started):.0f} times real time"
            completed = sum(shares[file] * states[file]["size"] for file in missing)
            bar.update(task, completed=completed, files=done, speed=speed)
    elapsed = time.monotonic() - started
    seconds = sum(heard.values())
    print(
        f"Files: {done}, of which {failed} failed; {seconds / 60:.1f} minutes of sound in "
        f"{elapsed:.1f} s ({seconds / elapsed:.0f} times real time).",
        file=sys.stderr,
    )
    return failed


def _state(file: str) -> dict[str, Any]:
    """Return size and time of a file, by which a later run knows it unchanged."""
    try:
        stat = os.stat(file)
    except OSError:  # Whoever reads it says what is wrong with it.
        return {"size": 0, "modified_ns": 0}
    return {"size": stat.st_size, "modified_ns": stat.st_mtime_ns}


def _is_done(closing: dict[str, Any] | None, state: dict[str, Any]) -> bool:
    return closing is not None and {**closing, **state, "type": "file"} == closing


def _header(model: EmotionModel, options: ListenOptions, group_by: str | None) -> dict[str, Any]:
    window, hop = options.window_and_hop(model.settings)
    baseline = options.baseline
    if isinstance(baseline, str) and baseline not in ("auto", "off"):
        baseline = file_sha256(Path(baseline))
    return {
        "type": "analysis",
        "version": version("emo-listen"),
        "model": model.name,
        "sha256": file_sha256(model.file),
        "window": window,
        "hop": hop,
        "vad": options.vad,
        "emit": options.emit,
        "baseline": baseline,
        "group_by": group_by,
    }


def _check_output(output: Path, emit: Emit) -> str:
    """Return the format that `--output` means, before any work is done."""
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
    if form != "jsonl":
        one_kind_of_row(str(output), emit)
    return form


def _is_ours(output: Path) -> bool:
    return output.with_name(output.name + ".journal").is_file()


def _write_csv(output: Path, journal: Journal, labels: list[str]) -> None:
    """Write the rows and the errors of a journal as CSV, all at once."""
    new = output.with_name(output.name + ".tmp")
    with new.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
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


def _checked_grouping(text: str) -> str:
    grouping(text)
    return text


def _usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
