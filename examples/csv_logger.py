"""Log a day: append each segment to a CSV file, with the time of day.

What and why: stream times count from the start of listening; a diary wants the clock's.

    python examples/csv_logger.py mic day.csv
"""

from __future__ import annotations

import csv
import sys
from datetime import datetime, timedelta

from emo_listen import SegmentEvent, listen

device, path = sys.argv[1:]
began = datetime.now()
with open(path, "a", newline="") as file:
    rows = csv.writer(file)
    for event in listen(device):
        if isinstance(event, SegmentEvent):
            times = (began + timedelta(seconds=t) for t in (event.start, event.end))
            rows.writerow([*(t.isoformat(" ", "seconds") for t in times), event.label])
            file.flush()
