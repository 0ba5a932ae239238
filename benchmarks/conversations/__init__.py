"""Conversations to listen to, with what is true of them."""
