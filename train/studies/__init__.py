"""Commands that compare ways to train or calibrate, and store nothing."""
