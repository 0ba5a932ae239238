"""Make the README's pictures of the live view and of `--plot`, from the bundled sample.

The pictures show real output of the bundled model: run this when the output changes.
`tests/support/draw_reconnect.py` makes the README's third picture.

    pip install -e '.[plot]'
    python runtime/make_pictures.py
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

from emo_listen import EmotionModel, SegmentEvent, StatusEvent, listen
from emo_listen.model_settings import UNCERTAIN
from emo_listen.samples import SAMPLE
from emo_listen.sinks.live_view import LiveState, LiveView
from emo_listen.sinks.text import event_line

PICTURES = Path(__file__).parent / "pictures"
COLUMNS = 80

LIVE_SECONDS = 7.9
"""Time in the sample at which the live view is drawn, in the middle of a sentence, in seconds."""


def main() -> None:
    """Write both pictures."""
    PICTURES.mkdir(exist_ok=True)
    draw_live_view(PICTURES / "live.svg")
    timeline = PICTURES / "timeline.png"
    command = ["--device", SAMPLE.name, "--format", "text", "--plot", str(timeline)]
    subprocess.run(
        [sys.executable, "-m", "emo_listen.cli", *command], cwd=SAMPLE.parent, check=True
    )


def draw_live_view(output: Path) -> None:
    """Draw the live view after `LIVE_SECONDS`, below the finished segments."""
    console = Console(record=True, width=COLUMNS, height=24, file=io.StringIO())
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


def save(console: Console, output: Path) -> None:
    """Write the recorded output of `console` as SVG."""
    # Without rich's web fonts, so that viewing the picture loads nothing else.
    code_format = re.sub(r"@font-face {{.*?}}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    console.save_svg(str(output), title="emo-listen", code_format=code_format)
    print(output)


if __name__ == "__main__":
    main()
