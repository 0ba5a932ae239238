"""Where sound comes from: iterators of float32 blocks at their own rate.

All sound is float32 (n_samples, n_channels), nominally within -1 to 1. Which block sizes come is
the source's affair; the rest of the runtime gives the same output for any.
"""
