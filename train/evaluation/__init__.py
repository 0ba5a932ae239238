"""What is measured of a model: metrics, scores, what a listener hears."""
