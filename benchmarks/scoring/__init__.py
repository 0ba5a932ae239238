"""Scores and their tables."""
