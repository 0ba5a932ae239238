"""Pictures of what the benchmarks measure, as PNG."""
