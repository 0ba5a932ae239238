"""What every command of train/, export/ and benchmarks/ shares."""
