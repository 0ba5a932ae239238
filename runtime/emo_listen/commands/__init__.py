"""The subcommands of `emo-listen`, and the options and outputs that it shares with them."""
