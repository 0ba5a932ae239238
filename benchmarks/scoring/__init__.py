"""Scores, and the tables that tell them."""
