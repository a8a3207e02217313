"""Data sets: from image files to batches of tensors."""
