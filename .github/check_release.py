"""Check that a tag can be released: `python .github/check_release.py v0.1.0`."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

CLONE = Path(__file__).resolve().parent.parent


def faults(tag: str) -> list[str]:
    """Return what must be changed before `tag` is released."""
    project = tomllib.loads((CLONE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = project["version"]
    found = []
    if tag != f"v{version}":
        found.append(f"the tag is {tag}, but the version in pyproject.toml is {version}")
    changelog = (CLONE / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## {re.escape(version)} \(\d{{4}}-\d\d-\d\d\)$", changelog, re.MULTILINE):
        found.append(f"CHANGELOG.md has no heading '## {version} (YYYY-MM-DD)'")
    if not project.get("urls"):
        found.append("pyproject.toml has no [project.urls]")
    for name in ("README.md", "docs/quick-start.md"):
        if "clone REPOSITORY" in (CLONE / name).read_text(encoding="utf-8"):
            found.append(f"{name} says `git clone REPOSITORY` instead of the repository's address")
    return found


if __name__ == "__main__":
    for fault in (found := faults(sys.argv[1])):
        print(fault, file=sys.stderr)
    sys.exit(1 if found else 0)
