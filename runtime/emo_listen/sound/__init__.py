"""Arithmetic on samples: rates, channels, levels, filters."""
