"""Benchmarks: the commands here, what they share in the packages below."""
