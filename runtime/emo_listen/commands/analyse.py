"""`emo-listen analyse`: analyse files and folders in parallel and collect the results."""

from __future__ import annotations

import argparse
import contextlib
import csv
import os
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from emo_listen.commands.analysis import Progress as FileProgress
from emo_listen.commands.grouping import group_digest, group_files, grouping
from emo_listen.commands.journal import Journal, LinesOnStandardOutput
from emo_listen.commands.options import (
    add_listen_options,
    in_range,
    load_model_and_options,
    one_kind_of_row,
)
from emo_listen.commands.sound_files import find_sound_files
from emo_listen.commands.workers import analyse_files
from emo_listen.cores import usable_cores
from emo_listen.engine import ListenOptions
from emo_listen.errors import BaselineError, OutputError
from emo_listen.events import Emit, LabelEvent, SegmentEvent, WindowEvent
from emo_listen.model import EmotionModel
from emo_listen.model_settings import file_sha256
from emo_listen.sinks.audformat import check_audformat_folder, write_audformat
from emo_listen.sinks.base import require_parent_folder
from emo_listen.sinks.csv_rows import leading_columns
from emo_listen.sources.stored_file import is_stored, stored_state

MAX_JOBS = 4096
"""Most processes: the cores of a large cluster."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as in shells."""

FORMATS = {".jsonl": "jsonl", ".csv": "csv", "": "audformat"}
"""Result format for each suffix of `--output`."""

EPILOG = """\
voices:
  With --baseline auto, each file is one voice, whose baseline is estimated from
  the whole file before it is labelled. --group-by merges files of one voice:
  those in one folder (--group-by folder), or those whose path has the same
  match of a pattern (--group-by 'speaker(\\d+)'). A voice is analysed by one
  process, so --jobs helps only if there are several.

results:
  Without --output, JSON Lines on standard output: the segments of each file,
  then a line of type "file", or "error" if it cannot be read. NAME.jsonl
  contains the same lines, sorted by file name, NAME.csv the same as rows; a
  name without a suffix is a folder in audformat. CSV and audformat also keep
  a file NAME.journal. Run the same command again to continue after Ctrl-C, or
  after files were added, changed or deleted.

  File names that are not UTF-8 keep their bytes in CSV; they are escaped in
  JSON Lines (byte E9 is \\udce9) and in audformat (\\xe9).

storage and clusters:
  s3://BUCKET/KEY is a sound file in S3, or all those below it (extra [s3]). It
  is read with the credentials and the AWS_ENDPOINT_URL of the environment.
  --engine ray (extra [ray]) uses the cluster of RAY_ADDRESS, or else one that
  it starts on this machine. All its machines need the files at the same path.

exit codes:
  0 all files analysed, 1 some failed, 2 nothing analysed, 130 Ctrl-C
"""


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="emo-listen analyse",
        description="Recognise emotions in sound files and folders.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="a sound file, a folder with subfolders, or s3://BUCKET/KEY",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="PATH",
        help="results: NAME.jsonl, NAME.csv, or a folder in audformat (default: JSON Lines on "
        "standard output)",
    )
    parser.add_argument(
        "--jobs",
        type=in_range(int, 1, MAX_JOBS),
        metavar="N",
        help="processes, of one CPU thread each (default: all cores, "
        f"{usable_cores()}; with Ray, those of the cluster)",
    )
    parser.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="processes on this machine, or workers of a Ray cluster (default: %(default)s)",
    )
    add_listen_options(parser)
    parser.add_argument(
        "--group-by",
        type=_checked_grouping,
        metavar="folder|PATTERN",
        help="which files belong to one voice (default: each file is one)",
    )
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> int:
    """Analyse the files; return the exit code.

    Raises:
        AudioFileError: a path does not exist, or there is no sound file.
        ModelError: the model cannot be loaded.
        BaselineError: the baseline or `--group-by` cannot be used with the model.
        OutputError: the results cannot be written.
        MissingExtraError: audformat or Ray is not installed.
        ClusterError: the Ray cluster cannot be used.
    """
    _engine(args)  # Before anything is read: the extra may be missing.
    output: Path | None = args.output
    form = None if output is None else _check_output(output, args.emit)
    files, unreadable = find_sound_files(args.paths)
    model, options = load_model_and_options(args)
    if args.group_by and (args.baseline != "auto" or model.head is None):
        raise BaselineError("--group-by needs --baseline auto and a model with baselines")
    header = _header(args, model, options)
    groups = group_files(files, grouping(args.group_by)) if args.group_by else [[f] for f in files]
    if output is None:
        return _analyse(args, options, groups, unreadable, LinesOnStandardOutput(header))
    journal = Journal(output if form == "jsonl" else _journal_path(output), header)
    code = _analyse(args, options, groups, unreadable, journal)
    if code == INTERRUPTED:
        print("Run the same command again to continue.", file=sys.stderr)
        return code
    if deleted := journal.drop_deleted(except_for={*files, *unreadable}):
        print(f"Deleted files removed from the results: {deleted}", file=sys.stderr)
    journal.finish()
    if form == "csv":
        _write_csv(output, journal, model.labels, separate=options.channels != "mix")
    elif form == "audformat":
        write_audformat(output, _label_rows(journal), labels=model.labels, model=model.name)
    print(f"Results written to {output}", file=sys.stderr)
    return code


def _analyse(
    args: argparse.Namespace,
    options: ListenOptions,
    groups: list[list[str]],
    unreadable: dict[str, str],
    results: Journal | LinesOnStandardOutput,
) -> int:
    """Analyse the files that are not in the results yet; return the exit code."""
    for folder, reason in unreadable.items():
        print(f"{folder} {reason}", file=sys.stderr)
        results.append(None, {"type": "error", "file": folder, "error": f"{folder} {reason}"})
    try:
        failed = _analyse_missing(args, options, groups, results)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return INTERRUPTED
    return 1 if failed or unreadable else 0


def _analyse_missing(
    args: argparse.Namespace,
    options: ListenOptions,
    groups: list[list[str]],
    results: Journal | LinesOnStandardOutput,
) -> int:
    """Analyse the groups that are not in the results yet; return the number of failed files."""
    states = _file_states(groups)
    missing_groups = [
        group
        for group in groups
        if not all(_is_done(results.closing(file), states[file]) for file in group)
    ]
    missing = [file for group in missing_groups for file in group]
    if len(missing) < len(states):
        done = len(states) - len(missing)
        print(f"Already done: {done} of {len(states)} files.", file=sys.stderr)
    console = Console(stderr=True, highlight=False)
    columns = (
        BarColumn(None),
        TextColumn("{task.fields[files]} of {task.fields[count]} files, {task.fields[speed]}"),
        TimeRemainingColumn(compact=True),
    )
    quiet = not console.is_terminal or (results.on_standard_output and sys.stdout.isatty())
    analysed = dict.fromkeys(missing, 0.0)
    shares = dict.fromkeys(missing, 0.0)
    started = time.monotonic()
    done = failed = 0
    with (
        tempfile.TemporaryDirectory(prefix="emo-listen-") as folder,
        Progress(*columns, console=console, disable=quiet) as bar,
        contextlib.closing(
            _engine(args)(missing_groups, model=args.model, options=options, folder=Path(folder))
        ) as reports,
    ):
        total = sum(states[file]["size"] for file in missing)
        task = bar.add_task("", total=total, files=0, count=len(missing), speed="")
        for report in reports:
            file = report.file
            analysed[file] = report.seconds
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
            speed = f"{sum(analysed.values()) / (time.monotonic() - started):.0f} times real time"
            completed = sum(shares[file] * states[file]["size"] for file in missing)
            bar.update(task, completed=completed, files=done, speed=speed)
    elapsed = time.monotonic() - started
    seconds = sum(analysed.values())
    print(
        f"Files: {done} analysed, {failed} failed; {seconds / 60:.1f} minutes of sound in "
        f"{elapsed:.1f} s ({seconds / elapsed:.0f} times real time).",
        file=sys.stderr,
    )
    return failed


def _engine(args: argparse.Namespace) -> Callable[..., Generator[FileProgress, None, None]]:
    """Return the function that analyses files, with its number of workers.

    Raises:
        MissingExtraError: Ray is not installed.
    """
    if args.engine == "local":
        return partial(analyse_files, jobs=args.jobs or usable_cores())
    from emo_listen.commands.ray_workers import analyse_files_with_ray

    return partial(analyse_files_with_ray, jobs=args.jobs)


def _file_states(groups: list[list[str]]) -> dict[str, dict[str, Any]]:
    """Return, for each file, the values that differ once it or its group has changed."""
    states = {file: _file_state(file) for group in groups for file in group}
    for group in groups:
        if len(group) > 1:
            digest = group_digest(group, states)
            for file in group:
                states[file] = {**states[file], "group": digest}
    return states


def _file_state(file: str) -> dict[str, Any]:
    if is_stored(file):
        return stored_state(file)
    try:
        stat = os.stat(file)
    except OSError:  # Reported when the file is analysed.
        return {"size": 0, "modified_ns": 0}
    return {"size": stat.st_size, "modified_ns": stat.st_mtime_ns}


def _is_done(closing: dict[str, Any] | None, state: dict[str, Any]) -> bool:
    return closing is not None and {**closing, **state, "type": "file"} == closing


def _header(
    args: argparse.Namespace, model: EmotionModel, options: ListenOptions
) -> dict[str, Any]:
    """Return the first line of the results, which must be the same when they are continued."""
    window, hop = options.window_and_hop(model.settings)
    baseline = args.baseline
    if baseline not in ("auto", "off"):
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
        "channels": options.channels
        if isinstance(options.channels, str)
        else list(options.channels),
        "group_by": args.group_by,
    }


def _check_output(output: Path, emit: Emit) -> str:
    """Check that the results can be written to `--output`; return their format."""
    form = FORMATS.get(output.suffix.casefold())
    if form is None:
        raise OutputError(f"{output} must end in .jsonl or .csv, or be a folder for audformat")
    require_parent_folder(output)
    if form == "audformat":
        check_audformat_folder(output)
    elif output.is_dir():
        raise OutputError(f"{output} is a folder: choose a file name for --output")
    if form == "csv" and output.exists() and not _journal_path(output).is_file():
        raise OutputError(
            f"{output} exists and was not written by emo-listen: choose another --output"
        )
    if form != "jsonl":
        one_kind_of_row(str(output), emit)
    return form


def _journal_path(output: Path) -> Path:
    return output.with_name(output.name + ".journal")


def _write_csv(output: Path, journal: Journal, labels: list[str], *, separate: bool) -> None:
    """Write the labels and errors of a journal as CSV, replacing the file atomically."""
    columns = leading_columns(separate)
    temporary = output.with_name(output.name + ".tmp")
    with temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", *columns, *labels, "error"])
        for row in journal.rows():
            if row["type"] == "error":
                blanks = [""] * (len(columns) + len(labels))
                writer.writerow([row["file"], *blanks, row["error"]])
            elif row["type"] in ("segment", "window"):
                scores = [row["scores"][label] for label in labels]
                leading = [row[column] for column in columns]
                writer.writerow([row["file"], *leading, *scores, ""])
    temporary.replace(output)


def _label_rows(journal: Journal) -> Iterator[tuple[str, LabelEvent]]:
    """Yield file name and event of each label in a journal."""
    for row in journal.rows():
        kind = row.pop("type")
        if kind in ("segment", "window"):
            file = row.pop("file")
            yield file, (SegmentEvent if kind == "segment" else WindowEvent)(**row)


def _checked_grouping(text: str) -> str:
    grouping(text)
    return text
