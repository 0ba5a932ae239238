"""`make demo`: listen to the microphone if it works, otherwise to the bundled sample."""

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
        print(f"No microphone works: {error}", file=sys.stderr)
        print("Using the bundled sample, a synthetic voice, instead.\n", file=sys.stderr)
        device = str(SAMPLE)
    # Without a terminal, the default format would be JSON Lines.
    return cli.main(["--device", device, *([] if sys.stdout.isatty() else ["--format", "text"])])


if __name__ == "__main__":
    sys.exit(main())
