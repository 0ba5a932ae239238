"""What a voice is judged relative to: its own ordinary speech."""
