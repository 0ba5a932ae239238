"""What fine-tuning is made of: batches, losses, the Trainer and its options."""
