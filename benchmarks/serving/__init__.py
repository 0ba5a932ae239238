"""Load on a running `emo-listen serve`: what is sent, by whom, and what comes back."""
