#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bombs.py --command IMGSIM [FOLDER]: small files that decode to much; none of them costs memory or time.

Each is made here. What its header gives away is refused on it (skipped, "too many ..."); the others end as the table says, within
the limits. A picture among them is stored as always. With FOLDER, the files are only written.
"""

import argparse
import collections
import os
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from pictures import chunk, png, png_of  # noqa: E402

# A process of the scan may have this much, and the whole may take so long.
MEMORY, SECONDS = 1700 << 20, 120
TOO_LARGE = {"skipped:too many pixels", "skipped:too many frames", "skipped:too many bytes"}
# Refused for their size or found damaged, whichever is noticed first.
ENDS = TOO_LARGE | {"failed:damaged", "failed:truncated", "skipped:unsupported format", "skipped:not an image"}


def zeros(size):
    """That many zeros, compressed, without having them."""
    packer, parts = zlib.compressobj(9), []
    block = bytes(1 << 20)
    while size > 0:
        parts.append(packer.compress(block[:min(size, len(block))]))
        size -= len(block)
    return b"".join(parts) + packer.flush()


def png_sized(width, height, data, depth=8, colour=2, before=b""):
    return png_of(struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0), data, before)


def gif(width, height, frames=1):
    """Frames of one pixel on a screen of any size."""
    frame = b"\x21\xf9\x04\0\0\0\0\0" + b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"
    return (b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff" + frame * frames + b"\x3b")


def gif_frame(width, height):
    """One frame of any size on a small screen."""
    return (b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff\x2c"
            + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x44\x01\0\x3b")


def tiff(entries, data=b"", following=0):
    """A little-endian TIFF: entries (tag, type, count, value or bytes); `following`: where the next directory is, 0 none."""
    entries = sorted(entries)
    place = 8 + 2 + 12 * len(entries) + 4
    directory, extra = b"", b""
    for tag, kind, count, value in entries:
        if isinstance(value, bytes):
            directory += struct.pack("<HHII", tag, kind, count, place + len(extra))
            extra += value
        else:
            directory += struct.pack("<HHII", tag, kind, count, value)
    return (b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + struct.pack("<I", following) + extra + data)


def tiff_sized(width, height, *more):
    return tiff([(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1),
                 *more], zeros(1 << 20))


def tiff_pages(count):
    """A chain of small pages."""
    tags = struct.pack("<H", 8) + b"".join(struct.pack("<HHII", *tag) for tag in [
        (256, 4, 1, 1), (257, 4, 1, 1), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 0), (278, 4, 1, 1),
        (279, 4, 1, 1)])
    size = len(tags) + 4
    following = [8 + size * (page + 1) for page in range(count - 1)] + [0]
    return b"II*\0" + struct.pack("<I", 8) + b"".join(tags + struct.pack("<I", place) for place in following)


def segment(marker, data):
    return struct.pack(">BBH", 0xff, marker, len(data) + 2) + data


def jpeg(width, height, scans, progressive=True, before=b""):
    """One grey; then as many scans as one likes, each of which makes a decoder pass over the whole picture."""
    blocks = -(-width // 8) * -(-height // 8)
    table = segment(0xdb, b"\0" + b"\1" * 64)
    frame = segment(0xc2 if progressive else 0xc0, struct.pack(">BHHB", 8, height, width, 1) + b"\1\x11\0")
    # One code of one bit each: no difference; no coefficients, in progressive ones for 2^14 blocks at a time.
    codes = segment(0xc4, b"\0\1" + bytes(15) + b"\0")
    codes += segment(0xc4, b"\x10\1" + bytes(15) + (b"\xe0" if progressive else b"\0"))
    first = segment(0xda, b"\1\1\0" + (b"\0\0\0" if progressive else b"\0\x3f\0"))
    first += bytes(-(-blocks // 8) * (1 if progressive else 2)) if blocks < 1 << 24 else bytes(64)
    more = segment(0xda, b"\1\1\0\1\x3f\0") + bytes(-(-(-(-blocks // (1 << 14)) * 15) // 8))
    return b"\xff\xd8" + before + table + frame + codes + first + more * (scans - 1) + b"\xff\xd9"


def exif(data):
    return segment(0xe1, b"Exif\0\0" + data)


def exif_loop():
    """A directory whose successor and whose inner directory are itself, with counts beyond all bounds."""
    return exif(b"II*\0\x08\0\0\0" + struct.pack("<H", 3) + struct.pack("<HHII", 0x8769, 4, 1, 8)
                + struct.pack("<HHII", 0x0112, 3, 0xffffffff, 8) + struct.pack("<HHII", 0x010f, 2, 0xffffffff, 0xfffffff0)
                + struct.pack("<I", 8))


def icc_parts(count):
    """A colour profile in many parts that never ends."""
    return b"".join(segment(0xe2, b"ICC_PROFILE\0" + bytes([1 + i % 255, 255]) + bytes(60000)) for i in range(count))


def webp(width, height):
    """A lossless header of any size, and nothing behind it."""
    bits = (width - 1) | (height - 1) << 14
    data = b"\x2f" + struct.pack("<I", bits) + bytes(16)
    body = b"WEBPVP8L" + struct.pack("<I", len(data)) + data + b"\0" * (len(data) & 1)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_canvas(width, height):
    """An animation on a canvas of up to 2^24 by 2^24."""
    size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + size
    return b"RIFF" + struct.pack("<I", len(body)) + body


def box(kind, *parts):
    data = b"".join(parts)
    return struct.pack(">I", 8 + len(data)) + kind + data


def full(kind, *parts):
    return box(kind, bytes(4), *parts)


def heif_grid(brand, width, height, rows, columns):
    """A grid of tiles that all are one tile."""
    tiles = rows * columns
    grid = struct.pack(">BBBBII", 0, 1, rows - 1, columns - 1, width, height)
    item = b"hvc1" if brand == b"heic" else b"av01"
    entries = box(b"infe", b"\2\0\0\0" + struct.pack(">HH", 1, 0) + b"grid\0")
    entries += box(b"infe", b"\2\0\0\0" + struct.pack(">HH", 2, 0) + item + b"\0")
    places = b"\1\0\0\0" + b"\x44\0" + struct.pack(">H", 2)
    places += struct.pack(">HHHHII", 1, 1, 0, 1, 0, len(grid)) + struct.pack(">HHHHII", 2, 1, 0, 1, 0, len(grid))
    meta = full(b"meta", full(b"hdlr", bytes(4) + b"pict" + bytes(13)), full(b"pitm", struct.pack(">H", 1)),
                full(b"iinf", struct.pack(">H", 2) + entries),
                full(b"iref", box(b"dimg", struct.pack(">HH", 1, tiles) + struct.pack(">H", 2) * tiles)),
                box(b"iprp", box(b"ipco", full(b"ispe", struct.pack(">II", width, height))),
                    full(b"ipma", struct.pack(">I", 1) + struct.pack(">HBB", 1, 1, 1))),
                box(b"iloc", places), box(b"idat", grid))
    return box(b"ftyp", brand, bytes(4), brand, b"mif1") + meta


def bmp(width, height):
    return (b"BM" + struct.pack("<IHHI", 54 + 16, 0, 0, 54)
            + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(16))


def jxl(exponent_bits=0xffffffff):
    """A codestream whose size header asks for the most it can."""
    return b"\xff\x0a" + struct.pack("<Q", 0xfffffffffffffffe ^ exponent_bits >> 31) + bytes(8)


def bombs():
    """name -> (bytes, states it may end in)."""
    ok = {"ok"}
    profile = chunk(b"iCCP", b"x\0\0" + zeros(256 << 20))
    text = chunk(b"zTXt", b"Comment\0\0" + zeros(256 << 20)) * 4
    international = chunk(b"iTXt", b"Comment\0\1\0\0\0" + zeros(256 << 20)) * 4
    exif_png = chunk(b"eXIf", exif_loop()[10:])
    small = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    pixels = zlib.compress((b"\0" + b"\x40\x80\xc0" * 8) * 8)
    return {
        "png-header-31bit.png": (png_sized(0x7fffffff, 0x7fffffff, pixels), ENDS),
        "png-30000.png": (png_sized(30000, 30000, zeros(4 << 20)), TOO_LARGE),
        "png-16-bit-wide.png": (png_sized(1 << 28, 2, zeros(1 << 20), 16, 6), ENDS),
        "png-data-too-long.png": (png_sized(8, 8, zeros(512 << 20)), ENDS | ok),
        "png-within-the-limit.png": (png_sized(16000, 16000, zeros(16000 * 2001), 1, 0), ok | ENDS),
        "png-iccp.png": (png_of(small, pixels, profile), ENDS | ok),
        "png-ztxt.png": (png_of(small, pixels, text), ENDS | ok),
        "png-itxt.png": (png_of(small, pixels, international), ENDS | ok),
        "png-exif-loop.png": (png_of(small, pixels, exif_png), ENDS | ok),
        "gif-screen.gif": (gif(65535, 65535), TOO_LARGE | ok),
        "gif-frames.gif": (gif(200, 200, 400000), TOO_LARGE | ok),
        "gif-frame-on-small-screen.gif": (gif_frame(65535, 65535), TOO_LARGE | ENDS),
        "tiff-strips.tiff": (tiff_sized(1 << 20, 1 << 20, (273, 4, 1, 200), (278, 4, 1, 1 << 20), (279, 4, 1, 900)), TOO_LARGE),
        "tiff-strip-table.tiff": (tiff_sized(16, 1 << 24, (273, 4, 1 << 24, 200), (278, 4, 1, 1), (279, 4, 1 << 24, 200)), ENDS),
        "tiff-tiles.tiff": (tiff_sized(64, 64, (322, 4, 1, 1 << 16), (323, 4, 1, 1 << 16), (324, 4, 1, 200), (325, 4, 1, 900)),
                            ENDS | ok),
        "tiff-pages.tiff": (tiff_pages(20000), TOO_LARGE | ENDS | ok),
        "tiff-loop.tiff": (tiff([(256, 4, 1, 4), (257, 4, 1, 4), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
                                 (273, 4, 1, 8), (278, 4, 1, 4), (279, 4, 1, 16)], bytes(16), 8), ENDS | ok),
        "jpeg-65500.jpg": (jpeg(65500, 65500, 1, False), TOO_LARGE),
        "jpeg-scans.jpg": (jpeg(12000, 12000, 5000), ENDS | ok | {"skipped:too many scans"}),
        "jpeg-scans-small.jpg": (jpeg(64, 64, 200000), ENDS | ok | {"skipped:too many scans"}),
        "jpeg-icc.jpg": (jpeg(64, 64, 1, False, icc_parts(1000)), ENDS | ok),
        "jpeg-exif-loop.jpg": (jpeg(64, 64, 1, False, exif_loop()), ENDS | ok),
        "webp-16383.webp": (webp(16383, 16383), ENDS),
        "webp-canvas.webp": (webp_canvas(1 << 24, 1 << 24), ENDS),
        "heic-grid.heic": (heif_grid(b"heic", 65535, 65535, 255, 256), ENDS),
        "avif-grid.avif": (heif_grid(b"avif", 0x7fffffff, 0x7fffffff, 255, 256), ENDS),
        "pnm-header.ppm": (b"P6\n1000000 1000000\n255\n" + bytes(100), TOO_LARGE),
        "pnm-digits.ppm": (b"P6\n" + b"9" * 100000 + b" 1\n255\n", ENDS),
        "pfm-header.pfm": (b"PF\n100000 100000\n-1.0\n" + bytes(100), ENDS),
        "bmp-header.bmp": (bmp(0x7fffffff, 0x7fffffff), ENDS),
        "bmp-top-down.bmp": (bmp(60000, -60000), ENDS),
        "jxl-header.jxl": (jxl(), ENDS),
        "picture.png": (png(1), ok),
    }


def write(folder, files):
    os.makedirs(folder, exist_ok=True)
    for name, (data, _ends) in files.items():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)


def scan_and_list(command, work, photos):
    words = [command, "-c", os.path.join(work, "catalog")]
    begun = time.monotonic()
    done = subprocess.run(words + ["scan", "-q", "--threads", "2", photos], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
                          timeout=SECONDS * 3)
    seconds = time.monotonic() - begun
    if done.returncode != 0:
        raise SystemExit("scan: exit %d\n%s" % (done.returncode, done.stderr.decode("utf-8", "replace")))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    table = os.path.join(work, "files.csv")
    subprocess.run(words + ["export", "--csv", table], check=True, stdout=subprocess.DEVNULL)
    import csv
    with open(table, newline="") as file:
        states = {row["name"]: row["state"] + (":" + row["reason"] if row["reason"] else "") for row in csv.DictReader(file)}
    subprocess.run(words + ["verify", "-q"], check=True)
    return states, seconds, peak


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--command")
    parser.add_argument("-v", action="store_true")
    parser.add_argument("folder", nargs="?")
    arguments = parser.parse_args()
    files = bombs()
    if arguments.folder:
        write(arguments.folder, files)
        return 0
    work = os.path.realpath(tempfile.mkdtemp(prefix="imgsim-bombs-"))
    try:
        photos = os.path.join(work, "photos")
        write(photos, files)
        states, seconds, peak = scan_and_list(arguments.command, work, photos)
        wrong = 0
        for name, (data, ends) in files.items():
            if arguments.v or states.get(name) not in ends:
                print("%-32s %9d bytes  %s" % (name, len(data), states.get(name)))
            wrong += states.get(name) not in ends
        print("%d files of %d bytes: %.1f s, at most %d MB; %s" % (
            len(files), sum(len(data) for data, _ends in files.values()), seconds, peak >> 20,
            dict(collections.Counter(states.values()))))
        if wrong or peak > MEMORY or seconds > SECONDS or len(states) != len(files):
            raise SystemExit("%d files ended otherwise than they should" % wrong if wrong else "beyond the limits")
        return 0
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
