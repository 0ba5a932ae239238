"""Plots of the benchmarks' results, as PNG."""
