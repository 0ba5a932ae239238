"""Corpora: downloaded, listed, decoded and split."""
