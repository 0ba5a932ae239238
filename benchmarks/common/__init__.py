"""What several benchmarks use: options, material, backends, timing."""
