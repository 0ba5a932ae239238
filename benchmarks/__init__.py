"""Benchmarks: the commands are here, shared parts in the packages below."""
