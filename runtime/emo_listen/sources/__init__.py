"""Sources of audio: iterators of blocks at their own sampling rate.

Blocks are float32 (n_samples, n_channels), nominally within -1 to 1, of any size. The size does not
change the events.
"""
