"""How hard a JPEG file was compressed."""

import struct
from pathlib import Path

import numpy as np
from PIL.JpegImagePlugin import JpegImageFile

_QUALITY_50 = 3688  # the sum of ITU-T T.81, table K.1: luminance at quality 50


def jpeg_quality(path: Path) -> float | None:
    """The quality (1 to 100) that the usual encoders call what a JPEG file was saved at; None for other files."""
    try:
        with path.open("rb") as file, JpegImageFile(file) as image:  # not Image.open, which refuses large images
            table = image.quantization.get(0)
    except (OSError, ValueError, SyntaxError, struct.error):
        return None
    if table is None:
        return None
    scale = 100 * float(np.sum(table)) / _QUALITY_50
    return max(1.0, min(100.0, (200 - scale) / 2 if scale <= 100 else 5000 / scale))
