"""Sinks, which receive events: lines, a live view, files, network clients."""
