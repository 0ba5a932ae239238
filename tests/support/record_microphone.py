"""Record from the default microphone until SIGTERM.

    python tests/support/record_microphone.py OUTPUT [PAUSE BACKLOG]

Writes to OUTPUT, a NumPy archive, the samples of the first channel (`samples`), and of each gap
its index among them (`places`), how many seconds were lost (`seconds`) and why (`reasons`).
Prints a line at each gap, and at each block how many samples have come and how many of them are not
zero. Waits PAUSE seconds after each block until standard input closes; BACKLOG is the sound in
seconds that may wait.
"""

from __future__ import annotations

import signal
import sys
import threading

import numpy as np

from emo_listen.sources import microphone
from emo_listen.sources.base import Gap
from emo_listen.sources.microphone import Microphone


def main() -> None:
    output, *slowness = sys.argv[1:]
    pause = 0.0
    if slowness:
        pause, microphone.MICROPHONE_BACKLOG = map(float, slowness)
    source = Microphone()
    signal.signal(signal.SIGTERM, lambda _number, _frame: source.stop())
    hurry = threading.Event()

    def watch_stdin() -> None:
        sys.stdin.read()
        hurry.set()

    threading.Thread(target=watch_stdin, daemon=True).start()
    blocks, gaps, length, heard = [np.zeros(0, np.float32)], [], 0, 0
    for item in source:
        if isinstance(item, Gap):
            gaps.append((length, item.seconds, item.reason))
            print(item, flush=True)
        else:
            blocks.append(item[:, 0])
            length += len(item)
            heard += int(np.count_nonzero(item[:, 0]))
            print("sound", length, heard, flush=True)
        hurry.wait(pause)
    np.savez(
        output,
        samples=np.concatenate(blocks),
        places=[place for place, _, _ in gaps],
        seconds=[seconds for _, seconds, _ in gaps],
        reasons=[reason for _, _, reason in gaps],
    )


if __name__ == "__main__":
    main()
