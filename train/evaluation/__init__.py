"""Measure a model: metrics, scores, predictions of the listener."""
