"""Baselines: labels are relative to the ordinary speech of a voice."""
