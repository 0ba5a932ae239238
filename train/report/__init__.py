"""Reports of a run: model card, plots, settings."""
