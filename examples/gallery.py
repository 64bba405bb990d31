# SPDX-License-Identifier: Apache-2.0
"""Draw a gallery of several hundred pictures in labelled families, some with near-duplicates, to try a search on.

usage: gallery.py FOLDER [PICTURES_PER_FAMILY]

Each family is a folder and a way of drawing; each picture has its own seed for shapes and colours, so the same call gives
the same files. Every fourth picture gets a near-duplicate beside it: cropped, brightened, blurred or with noise.
"""

import os
import struct
import sys
import zlib

import numpy as np

WIDTH, HEIGHT = 320, 240


def write_png(path, pixels):
    """8-bit RGB as a PNG file, by the standard library alone."""
    height, width, _channels = pixels.shape
    lines = np.zeros((height, width * 3 + 1), np.uint8)
    lines[:, 1:] = pixels.reshape(height, -1)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines.tobytes(), 6))
                   + chunk(b"IEND", b""))


def plane():
    """x from -4/3 to 4/3, y from -1 to 1, and the polar form."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    x = (x - WIDTH / 2) / (HEIGHT / 2)
    y = (y - HEIGHT / 2) / (HEIGHT / 2)
    return x, y, np.hypot(x, y), np.arctan2(y, x)


def colours(rng, count, lightness=(0.15, 0.95)):
    """Colours of one mood: hues close together or opposite, from dark to light."""
    hue = rng.random() + np.where(rng.random(count) < 0.25, 0.5, 0) + rng.normal(0, 0.06, count)
    value = np.linspace(*lightness, count)
    rng.shuffle(value)
    saturation = rng.uniform(0.35, 0.9, count)
    k = (np.array([5, 3, 1])[None, :] + hue[:, None] * 6) % 6
    return value[:, None] * (1 - saturation[:, None] * np.clip(np.minimum(k, 4 - k), 0, 1))


def blend(palette, amount):
    """A smooth walk through the palette, amount 0 to 1."""
    position = np.clip(amount, 0, 1) * (len(palette) - 1)
    low = np.minimum(position.astype(int), len(palette) - 2)
    part = (position - low)[..., None]
    return palette[low] * (1 - part) + palette[low + 1] * part


def turned(rng, x, y, limit=np.pi):
    angle = rng.uniform(-limit, limit)
    return x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)


def clouds(rng, octaves=5):
    """Sum of smooth noise at several scales, 0 to 1."""
    total = np.zeros((HEIGHT, WIDTH))
    for octave in range(octaves):
        cells = 3 * 2 ** octave
        grid = rng.random((cells + 2, cells * 4 // 3 + 2))
        v, u = np.linspace(0, cells, HEIGHT), np.linspace(0, cells * 4 // 3, WIDTH)
        i, j = v.astype(int), u.astype(int)
        fv, fu = v - i, u - j
        fv, fu = (fv * fv * (3 - 2 * fv))[:, None], (fu * fu * (3 - 2 * fu))[None, :]
        top = grid[i][:, j] * (1 - fu) + grid[i][:, j + 1] * fu
        low = grid[i + 1][:, j] * (1 - fu) + grid[i + 1][:, j + 1] * fu
        total += (top * (1 - fv) + low * fv) / 2 ** octave
    return (total - total.min()) / np.ptp(total)


def spirals(rng):
    _x, _y, r, a = plane()
    arms = rng.integers(2, 7)
    return blend(colours(rng, 3), 0.5 + 0.5 * np.sin(arms * a + rng.uniform(6, 18) * np.sqrt(r)))


def stripes(rng):
    x, y, _r, _a = plane()
    u, _v = turned(rng, x, y)
    palette = colours(rng, rng.integers(2, 6))
    return palette[(np.floor(u * rng.uniform(3, 9)) % len(palette)).astype(int)]


def checkers(rng):
    x, y, _r, _a = plane()
    u, v = turned(rng, x, y, 0.5)
    scale = rng.uniform(3, 8)
    return colours(rng, 2)[((np.floor(u * scale) + np.floor(v * scale)) % 2).astype(int)]


def rings(rng):
    x, y, _r, _a = plane()
    r = np.hypot(x - rng.uniform(-0.5, 0.5), y - rng.uniform(-0.4, 0.4))
    palette = colours(rng, rng.integers(3, 6))
    return palette[(np.floor(r * rng.uniform(5, 12)) % len(palette)).astype(int)]


def discs(rng):
    x, y, _r, _a = plane()
    palette = colours(rng, 6)
    picture = np.broadcast_to(palette[0], (HEIGHT, WIDTH, 3)).copy()
    for _ in range(rng.integers(15, 40)):
        near = np.hypot(x - rng.uniform(-1.3, 1.3), y - rng.uniform(-1, 1)) < rng.uniform(0.05, 0.3)
        picture[near] = palette[rng.integers(1, 6)]
    return picture


def squares(rng):
    x, y, _r, _a = plane()
    palette = colours(rng, 6)
    picture = np.broadcast_to(palette[0], (HEIGHT, WIDTH, 3)).copy()
    for _ in range(rng.integers(12, 30)):
        u, v = turned(rng, x - rng.uniform(-1.3, 1.3), y - rng.uniform(-1, 1))
        picture[np.maximum(abs(u), abs(v)) < rng.uniform(0.05, 0.3)] = palette[rng.integers(1, 6)]
    return picture


def roses(rng):
    _x, _y, r, a = plane()
    petals = rng.integers(3, 9)
    edge = rng.uniform(0.45, 0.9) * (0.55 + 0.45 * np.cos(petals * a + rng.uniform(0, 6)))
    background, petal, heart = colours(rng, 3)
    picture = np.where((r < edge)[..., None], petal * (0.6 + 0.4 * r / np.maximum(edge, 1e-3))[..., None], background)
    return np.where((r < 0.16)[..., None], heart, picture)


def stars(rng):
    x, y, _r, _a = plane()
    palette = colours(rng, 5)
    picture = np.broadcast_to(palette[0], (HEIGHT, WIDTH, 3)).copy()
    points = rng.integers(4, 8)
    for _ in range(rng.integers(4, 12)):
        u, v = turned(rng, x - rng.uniform(-1.2, 1.2), y - rng.uniform(-0.9, 0.9))
        edge = rng.uniform(0.15, 0.5) * (0.6 + 0.4 * np.abs(np.cos(points * np.arctan2(v, u) / 2)) ** 3)
        picture[np.hypot(u, v) < edge] = palette[rng.integers(1, 5)]
    return picture


def waves(rng):
    x, y, _r, _a = plane()
    palette = colours(rng, 5)
    level = (y + 1) * 2.4 + 0.25 * np.sin(x * rng.uniform(3, 9) + rng.uniform(0, 6) + y * 2)
    return palette[np.clip(level, 0, 4).astype(int)]


def plaids(rng):
    x, y, _r, _a = plane()
    palette = colours(rng, 4)
    across = palette[(np.floor(x * rng.uniform(4, 9)) % 4).astype(int)]
    return (across + palette[(np.floor(y * rng.uniform(4, 9)) % 4).astype(int)]) / 2


def skies(rng):
    _x, y, _r, _a = plane()
    blue = np.array([0.25, 0.5, 0.85]) * rng.uniform(0.6, 1.15)
    cloud = np.clip((clouds(rng) - rng.uniform(0.4, 0.55)) * 4, 0, 1)[..., None]
    return blue * (0.75 + 0.2 * y[..., None]) * (1 - cloud) + cloud * rng.uniform(0.85, 1)


def sunsets(rng):
    x, y, _r, _a = plane()
    palette = np.array([[0.1, 0.08, 0.3], [0.7, 0.2, 0.35], [1, 0.55, 0.15], [1, 0.9, 0.5]]) * rng.uniform(0.8, 1)
    horizon = rng.uniform(0.2, 0.6)
    picture = blend(palette, (y + 1) / (1 + horizon))
    picture[np.hypot(x - rng.uniform(-0.8, 0.8), y - horizon + 0.1) < rng.uniform(0.12, 0.25)] = [1, 0.95, 0.75]
    sea = y > horizon + 0.03 * np.sin(x * 9 + rng.uniform(0, 6))
    picture[sea] = np.array([0.12, 0.08, 0.2]) * rng.uniform(0.6, 1.3)
    return picture


def mountains(rng):
    x, y, _r, _a = plane()
    sky = blend(np.array([[0.6, 0.75, 0.9], [0.95, 0.95, 0.9]]), (y + 1) / 2)
    shade = rng.uniform(0.25, 0.5)
    for layer in range(4):
        noise = clouds(rng, 4)[0]
        ridge = -0.5 + 0.35 * layer + 0.9 * (0.5 - noise)
        sky[y > ridge[None, :]] = np.array([0.35, 0.45, 0.5]) * (1.2 - shade * layer / 1.6)
    return sky


def julias(rng):
    x, y, _r, _a = plane()
    c = 0.7885 * np.exp(1j * rng.uniform(0, 2 * np.pi))
    z = (x + 1j * y) * 1.25
    count = np.zeros(z.shape)
    for _ in range(48):
        inside = np.abs(z) < 2
        z[inside] = z[inside] ** 2 + c
        count += inside
    return blend(colours(rng, 5), (count / 48) ** 0.6)


def marbles(rng):
    x, y, _r, _a = plane()
    u, _v = turned(rng, x, y)
    return blend(colours(rng, 4, (0.5, 1)), 0.5 + 0.5 * np.sin(rng.uniform(4, 8) * u + rng.uniform(4, 9) * clouds(rng)))


def grasses(rng):
    x, y, _r, _a = plane()
    picture = np.broadcast_to(np.array([0.08, 0.2, 0.06]), (HEIGHT, WIDTH, 3)).copy()
    for _ in range(rng.integers(60, 110)):
        foot, lean, height = rng.uniform(-1.4, 1.4), rng.normal(0, 0.4), rng.uniform(0.5, 1.9)
        t = (1 - y) / height
        picture[(t < 1) & (np.abs(x - foot - lean * t * t) < 0.025 * (1 - t))] = [
            rng.uniform(0.2, 0.5), rng.uniform(0.45, 0.9), rng.uniform(0.1, 0.3)]
    return picture


def bricks(rng):
    x, y, _r, _a = plane()
    rows = rng.uniform(4, 8)
    row = np.floor(y * rows)
    u = x * rows / 2 + 0.5 * (row % 2)
    tone = rng.random((64, 64))[row.astype(int) % 64, np.floor(u).astype(int) % 64]
    picture = np.array([0.65, 0.27, 0.2]) * (0.7 + 0.5 * tone)[..., None] * rng.uniform(0.85, 1.1)
    picture[(np.abs(y * rows - row) < 0.1) | (np.abs(u - np.floor(u)) < 0.05)] = 0.8
    return picture


def nights(rng):
    x, y, _r, _a = plane()
    picture = np.broadcast_to(np.array([0.02, 0.03, 0.1]), (HEIGHT, WIDTH, 3)) + 0.1 * clouds(rng)[..., None] ** 2
    picture = picture.copy()
    for _ in range(rng.integers(80, 200)):
        i, j, size = rng.integers(0, HEIGHT), rng.integers(0, WIDTH), rng.integers(1, 3)
        picture[i:i + size, j:j + size] = rng.uniform(0.6, 1)
    picture[np.hypot(x - rng.uniform(-1, 1), y + rng.uniform(0.2, 0.6)) < rng.uniform(0.1, 0.22)] = [0.95, 0.93, 0.8]
    return picture


def cracks(rng):
    field = clouds(rng, 6)
    lines = np.abs(field - 0.5) < rng.uniform(0.02, 0.05)
    picture = np.array([0.85, 0.65, 0.3]) * (0.8 + 0.3 * clouds(rng, 3))[..., None]
    picture[lines] = [0.2, 0.12, 0.05]
    return picture


def grids(rng):
    x, y, _r, _a = plane()
    u, v = turned(rng, x, y, 0.4)
    scale = rng.uniform(4, 10)
    background, line = colours(rng, 2)
    near = np.minimum(np.abs(u * scale - np.round(u * scale)), np.abs(v * scale - np.round(v * scale)))
    return np.where((near < rng.uniform(0.06, 0.16))[..., None], line, background)


FAMILIES = (spirals, stripes, checkers, rings, discs, squares, roses, stars, waves, plaids, skies, sunsets, mountains,
            julias, marbles, grasses, bricks, nights, cracks, grids)


def near_duplicate(rng, pixels):
    """The same picture as somebody else would have saved it."""
    kind = rng.integers(0, 4)
    if kind == 0:
        top, left = rng.integers(4, 12), rng.integers(4, 16)
        return pixels[top:-top, left:-left]
    if kind == 1:
        return np.clip(pixels * rng.uniform(1.08, 1.25), 0, 255)
    if kind == 2:
        return (pixels[:-1, :-1] + pixels[1:, :-1] + pixels[:-1, 1:] + pixels[1:, 1:]) / 4
    return np.clip(pixels + rng.normal(0, 8, pixels.shape), 0, 255)


def main():
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    folder, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) == 3 else 16
    temporary = folder + ".part"
    for number, family in enumerate(FAMILIES):
        os.makedirs(os.path.join(temporary, family.__name__), exist_ok=True)
        for i in range(count):
            rng = np.random.default_rng([number, i])
            pixels = np.clip(family(rng) * 255, 0, 255)
            name = os.path.join(temporary, family.__name__, "%s-%02d" % (family.__name__, i))
            write_png(name + ".png", np.ascontiguousarray(pixels.astype(np.uint8)))
            if i % 4 == 0:
                write_png(name + "-again.png", np.ascontiguousarray(near_duplicate(rng, pixels).astype(np.uint8)))
    os.rename(temporary, folder)


if __name__ == "__main__":
    main()
