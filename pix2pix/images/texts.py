"""Words inside PNG files, which other programs show: how a picture was made."""

import zlib
from collections.abc import Mapping

_HEADER_END = 33  # the signature of 8 bytes and the chunk of 25 that comes first


def with_texts(png: bytes, texts: Mapping[str, str]) -> bytes:
    """Return the file with texts by keyword (1 to 79 Latin letters) after its header, as iTXt chunks of UTF-8."""
    made = [png[:_HEADER_END]]
    for keyword, text in texts.items():
        chunk = b"iTXt" + keyword.encode("latin-1") + b"\0" * 5 + text.encode(errors="backslashreplace")
        made += [(len(chunk) - 4).to_bytes(4, "big"), chunk, zlib.crc32(chunk).to_bytes(4, "big")]
    return b"".join([*made, png[_HEADER_END:]])
