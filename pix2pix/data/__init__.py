"""From folders of image pairs to batches of tensors."""
