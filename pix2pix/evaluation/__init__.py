"""Metrics, evaluation of translations, and experiments."""
