"""Training: the commands here, what they are made of in the packages below."""
