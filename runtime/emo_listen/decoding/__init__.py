"""Decoders: bytes or files into blocks of samples."""
