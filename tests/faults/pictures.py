# SPDX-License-Identifier: Apache-2.0
"""Small pictures for the tests of this folder, made without any library."""

import random
import struct
import zlib


def chunk(kind, data):
    """A chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(header, data, before=b""):
    """A PNG file: the 13 bytes of its header, compressed data, chunks before the data."""
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + chunk(b"IDAT", data) + chunk(b"IEND", b""))


def png(seed, side=48):
    """A small picture of blocks that the seed decides."""
    rng = random.Random(seed)
    ground = [rng.randrange(256) for _ in range(3)]
    blocks = [(rng.randrange(side), rng.randrange(side), rng.randrange(side // 6, side // 2),
               [rng.randrange(256) for _ in range(3)]) for _ in range(5)]
    rows = bytearray()
    for y in range(side):
        row = bytearray(ground * side)
        for left, top, size, colour in blocks:
            if top <= y < top + size:
                end = min(side, left + size)
                row[3 * left:3 * end] = bytes(colour * (end - left))
        rows += b"\0" + row
    return png_of(struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0), zlib.compress(bytes(rows), 1))
