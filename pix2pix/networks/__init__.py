"""Networks, norms, backbones, and tiled translation."""
