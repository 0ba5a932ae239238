"""Runs scripts of the clone without starting a process."""

from __future__ import annotations

import contextlib
import io
import runpy
import sys
from pathlib import Path
from subprocess import CompletedProcess

import pytest


def run_script(script: Path, *arguments: object) -> CompletedProcess[str]:
    """Run `python SCRIPT ARGUMENTS` in this process, which has PyTorch imported already.

    Importing PyTorch and transformers takes a new process about 6 s. Exceptions other than
    `SystemExit` reach the test.
    """
    command = [str(script), *map(str, arguments)]
    output, errors = io.StringIO(), io.StringIO()
    status = 0
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
    ):
        monkeypatch.setattr(sys, "argv", command)
        try:
            runpy.run_path(str(script), run_name="__main__")
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
    return CompletedProcess(command, status, output.getvalue(), errors.getvalue())
