"""What a run leaves for people: model card, pictures, settings."""
