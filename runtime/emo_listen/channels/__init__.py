"""From the blocks of a stream to engines: one for the mix, or one for each channel."""
