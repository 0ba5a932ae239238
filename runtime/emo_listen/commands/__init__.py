"""What the commands of the terminal do, but for listening itself."""
