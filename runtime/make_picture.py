"""Render what `emo-listen` prints about the bundled sample as `pictures/demo.svg`.

What and why: the README shows real output of the bundled model; run this when it changes.

    python runtime/make_picture.py
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from emo_listen.demo import SAMPLE

OUTPUT = Path(__file__).parent / "pictures" / "demo.svg"
COLUMNS = 64


def main() -> None:
    """Run the command as on a terminal in colour, and write the picture."""
    arguments = ["--device", SAMPLE.name, "--hop", "1"]
    lines = subprocess.run(
        [sys.executable, "-m", "emo_listen.cli", *arguments, "--format", "text"],
        cwd=SAMPLE.parent,
        env={**os.environ, "FORCE_COLOR": "1", "TERM": "xterm-256color"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text(f"$ emo-listen {' '.join(arguments)}"))
    console.print(Text.from_ansi(lines))
    OUTPUT.parent.mkdir(exist_ok=True)
    # Without the web fonts that rich names: whoever looks at the picture fetches nothing else.
    code_format = re.sub(r"@font-face {{.*?}}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    console.save_svg(str(OUTPUT), title="emo-listen", code_format=code_format)
    print(OUTPUT)


if __name__ == "__main__":
    main()
