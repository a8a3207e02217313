"""Losses: pure functions from tensors to a scalar, in float32 or wider even under autocast."""
