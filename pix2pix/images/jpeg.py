"""How hard a JPEG file was compressed."""

import struct
from pathlib import Path

import numpy as np
from PIL.JpegImagePlugin import JpegImageFile

# ITU-T T.81, table K.1: luminance at quality 50; only its mean ratio to a file's table counts, so order plays no part.
_QUALITY_50 = sum(
    (
        *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
        *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
        *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
        *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
    )
)


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
