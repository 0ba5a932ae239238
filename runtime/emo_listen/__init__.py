"""emo-listen: which emotion a voice carries, on the device, as it is spoken."""
