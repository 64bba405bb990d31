# SPDX-License-Identifier: Apache-2.0
"""Draws small pictures with nothing but the standard library, the same ones on every machine."""

import os
import struct
import zlib


def png_bytes(width, height, pixel):
    """An 8-bit RGB PNG; pixel(x, y) returns three numbers from 0 to 255."""
    rows = bytearray()
    for y in range(height):
        rows.append(0)
        for x in range(width):
            rows += bytes(pixel(x, y))
    return png_of_rows(width, height, bytes(rows))


def png_of_rows(width, height, rows, level=6):
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, level))
            + chunk(b"IEND", b""))


def ppm_bytes(width, height, pixel):
    values = bytearray()
    for y in range(height):
        for x in range(width):
            values += bytes(pixel(x, y))
    return b"P6\n%d %d\n255\n" % (width, height) + bytes(values)


FAMILIES = {
    "discs": (220, 60, 50),
    "stripes": (50, 120, 220),
    "rings": (60, 170, 80),
}


def family_pixel(family, number):
    """A picture of a family: the same ground, and a figure that is moved, grown and tinted by its number."""
    ground = FAMILIES[family]
    left, top, size = 26 + number % 9, 30 + number % 7, 14 + number % 11

    def pixel(x, y):
        distance = ((x - left) ** 2 + (y - top) ** 2) ** 0.5
        if family == "discs":
            inside = distance < size
        elif family == "stripes":
            inside = (x + 2 * number) % (size + 4) < 8
        else:
            inside = int(distance) * 10 // size % 10 in (0, 1, 2, 6, 7)
        if not inside:
            return ground
        return (250, 245, 20 + 16 * (number % 13)) if distance < 10 else (250, 245, 230)

    return pixel


def draw_families(folder, per_family=4):
    """folder/discs/0.png ... folder/rings/3.ppm"""
    for family in FAMILIES:
        os.makedirs(os.path.join(folder, family), exist_ok=True)
        for number in range(per_family):
            pixel = family_pixel(family, number)
            if number == per_family - 1:
                write(os.path.join(folder, family, "%d.ppm" % number), ppm_bytes(72, 64, pixel))
            else:
                write(os.path.join(folder, family, "%d.png" % number), png_bytes(72, 64, pixel))


def draw_many(folder, count, side=1300, drawn=100):
    """Large pictures whose scan takes a while; after the first `drawn` ones, hard links to them."""
    os.makedirs(folder, exist_ok=True)
    for number in range(count):
        if number >= drawn:
            os.link(os.path.join(folder, "%04d.png" % (number % drawn)), os.path.join(folder, "%04d.png" % number))
            continue
        row = b"\0" + bytes((x * (number + 3) + x // 7) % 256 for x in range(3 * side))
        other = b"\0" + bytes((x * x + number) % 256 for x in range(3 * side))
        rows = b"".join(row if (y + number) // 9 % 2 else other for y in range(side))
        write(os.path.join(folder, "%04d.png" % number), png_of_rows(side, side, rows, level=1))


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)
