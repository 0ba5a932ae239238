"""Shared by several benchmarks: options, recordings, backends, timing."""
