"""Networks: one architecture a file, and what they share."""
