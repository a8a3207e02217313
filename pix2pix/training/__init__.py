"""The training loop, checkpointing, validation and logging."""
