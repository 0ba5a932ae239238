"""Make the README's pictures of what `emo-listen` shows about the bundled sample.

What and why: the README shows real output of the bundled model; run this when it changes.
`demo.svg` is lines of text, `live.svg` the live view while somebody speaks, `timeline.png` what
`--plot` draws.

    pip install -e '.[plot]'
    python runtime/make_pictures.py
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

from emo_listen import EmotionModel, SegmentEvent, StatusEvent, listen
from emo_listen.demo import SAMPLE
from emo_listen.settings import UNCERTAIN
from emo_listen.sinks.live_view import LiveState, LiveView
from emo_listen.sinks.text import event_line

PICTURES = Path(__file__).parent / "pictures"
COLUMNS = 64
LIVE_COLUMNS = 80

LIVE_SECONDS = 7.9
"""Where in the sample the live view is drawn: amid a sentence, in seconds."""


def main() -> None:
    """Write the three pictures."""
    PICTURES.mkdir(exist_ok=True)
    draw_lines(PICTURES / "demo.svg")
    draw_live_view(PICTURES / "live.svg")
    run_command("--format", "text", "--plot", str(PICTURES / "timeline.png"))


def draw_lines(output: Path) -> None:
    """Draw what the command prints on a terminal in colour."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text(f"$ emo-listen --device {SAMPLE.name}"))
    console.print(Text.from_ansi(run_command("--format", "text")))
    save(console, output)


def draw_live_view(output: Path) -> None:
    """Draw the live view as it is after `LIVE_SECONDS`, below the segments that have ended."""
    console = Console(record=True, width=LIVE_COLUMNS, height=24, file=io.StringIO())
    model = EmotionModel.load()
    width = max(len(label) for label in [*model.labels, UNCERTAIN])
    state = LiveState()
    for event in listen(SAMPLE, model=model, emit="all", status=True):
        state = state.after(event)
        if isinstance(event, SegmentEvent):
            console.print(event_line(event, width))
        if isinstance(event, StatusEvent) and event.time >= LIVE_SECONDS:
            break
    console.print(LiveView(state, f"{SAMPLE.name} · {model.name}", model.labels))
    save(console, output)


def run_command(*options: str) -> str:
    """Run `emo-listen` on the sample as on a terminal in colour; return what it prints."""
    return subprocess.run(
        [sys.executable, "-m", "emo_listen.cli", "--device", SAMPLE.name, *options],
        cwd=SAMPLE.parent,
        env={**os.environ, "FORCE_COLOR": "1", "TERM": "xterm-256color"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def save(console: Console, output: Path) -> None:
    """Write what was printed as SVG."""
    # Without the web fonts that rich names: whoever looks at the picture fetches nothing else.
    code_format = re.sub(r"@font-face {{.*?}}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    console.save_svg(str(output), title="emo-listen", code_format=code_format)
    print(output)


if __name__ == "__main__":
    main()
