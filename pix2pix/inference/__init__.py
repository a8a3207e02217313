"""Translate images of any size with a trained checkpoint."""
