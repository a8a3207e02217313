"""Networks: each file one architecture of the papers."""
