"""Run a script as if only some of the installed distributions were there.

    python tests/support/only_declared.py numpy,soundfile script.py arguments ...

Modules of all other distributions cannot be found, and neither can their metadata, so that a
script that runs like this also runs where nothing else was ever installed.
"""

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Iterable
from importlib.machinery import PathFinder
from importlib.metadata import Distribution, DistributionFinder, packages_distributions
from pathlib import Path
from types import ModuleType


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


class DeclaredFinder:
    """Finds what `PathFinder` does but for modules and metadata of distributions not allowed."""

    def __init__(self, allowed: set[str]) -> None:
        self.allowed = allowed
        self.hidden = {
            module
            for module, owners in packages_distributions().items()
            if not allowed & {canonical(owner) for owner in owners}
        }

    def find_spec(self, name: str, path=None, target: ModuleType | None = None):
        if name.partition(".")[0] in self.hidden:
            return None
        return PathFinder.find_spec(name, path, target)

    def find_distributions(
        self, context: DistributionFinder.Context | None = None
    ) -> Iterable[Distribution]:
        found = PathFinder.find_distributions(context or DistributionFinder.Context())
        return (one for one in found if canonical(one.metadata["Name"]) in self.allowed)

    def invalidate_caches(self) -> None:
        PathFinder.invalidate_caches()


def main() -> None:
    allowed, script, *arguments = sys.argv[1:]
    finder = DeclaredFinder(set(allowed.split(",")))
    sys.meta_path[:] = [finder if one is PathFinder else one for one in sys.meta_path]
    sys.argv = [script, *arguments]
    sys.path[0] = str(Path(script).parent)
    if script == "emo_listen":
        runpy.run_module("emo_listen.cli", run_name="__main__")
    else:
        runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
