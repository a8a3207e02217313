"""Measures of translations: pure functions."""
