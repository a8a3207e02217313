"""Measure translations: metrics, evaluation, experiments."""
