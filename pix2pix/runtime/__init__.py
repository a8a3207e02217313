"""Device, precision, optimizers."""
