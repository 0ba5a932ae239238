"""Pretrained speech models: which are known, and how they are loaded."""
