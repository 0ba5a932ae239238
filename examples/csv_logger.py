"""Append each segment to a CSV file, with the time of day.

Stream times count from the start of listening; a log needs clock times.

    python examples/csv_logger.py mic day.csv
"""

from __future__ import annotations

import csv
import sys
from datetime import datetime, timedelta

from emo_listen import SegmentEvent, listen

device, path = sys.argv[1:]
started = datetime.now()
with open(path, "a", newline="") as file:
    rows = csv.writer(file)
    for event in listen(device):
        if isinstance(event, SegmentEvent):
            times = (started + timedelta(seconds=t) for t in (event.start, event.end))
            rows.writerow([*(t.isoformat(" ", "seconds") for t in times), event.label])
            file.flush()
