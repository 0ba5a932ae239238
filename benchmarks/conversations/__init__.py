"""Composed conversations, and scores of what a listener emits for them."""
