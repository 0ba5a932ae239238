"""Print the oldest versions that the runtime and its extras allow, as constraints for pip."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path


def main() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    extras = project["optional-dependencies"]
    names = extras["test-runtime"][0].removeprefix("emo-listen[").removesuffix("]").split(",")
    for line in [*project["dependencies"], *(line for name in names for line in extras[name])]:
        bound = re.match(r"([\w.-]+)>=([\w.]+)", line)
        assert bound is not None, f"{line!r} in pyproject.toml has no lower bound"
        print("==".join(bound.groups()))


if __name__ == "__main__":
    main()
