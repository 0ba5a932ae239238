"""What a model folder holds, checked before it is used."""
