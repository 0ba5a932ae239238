"""Which modules the processes that this one starts can import."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def safe_import_path() -> Iterator[None]:
    """Keep the current folder off the import path of processes started in this block.

    `multiprocessing` starts them with a command for which Python puts it first, so a file named
    like a module, such as `signal.py`, would be run.
    """
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before
