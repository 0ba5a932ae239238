"""`make demo`: listen to the microphone where one answers, else to the bundled sample."""

from __future__ import annotations

import contextlib
import sys

from emo_listen import cli
from emo_listen.errors import DeviceError
from emo_listen.samples import SAMPLE
from emo_listen.sources.microphone import Microphone


def main() -> int:
    """Run the demo; return the exit code of `emo-listen`."""
    device = "mic"
    try:
        with contextlib.closing(iter(Microphone())) as blocks:
            next(blocks)
    except DeviceError as error:
        print(f"No microphone answers: {error}", file=sys.stderr)
        print("Listening to the bundled sample, a synthetic voice, instead.\n", file=sys.stderr)
        device = str(SAMPLE)
    # A terminal gets what suits it; lines of text are for people in a file too.
    return cli.main(["--device", device, *([] if sys.stdout.isatty() else ["--format", "text"])])


if __name__ == "__main__":
    sys.exit(main())
