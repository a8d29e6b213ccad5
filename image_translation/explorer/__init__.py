"""The feature-map explorer."""
