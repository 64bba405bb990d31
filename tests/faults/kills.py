#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kills.py --command IMGSIM [--seed S] N: kill `imgsim scan` N times at random moments; nothing committed may be lost.

After every kill the catalog is sound, and every image that was in it still is, under the same id. In the end it agrees with one
that was never disturbed: the same files, the same contents, the same rows.
"""

import argparse
import csv
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zlib

FAMILIES, EACH, SIDE = 20, 100, 48


def png(seed):
    """A small picture of blocks and noise that the seed decides."""
    rng = random.Random(seed)
    ground = [rng.randrange(256) for _ in range(3)]
    blocks = [(rng.randrange(SIDE), rng.randrange(SIDE), rng.randrange(8, 24), [rng.randrange(256) for _ in range(3)])
              for _ in range(5)]
    rows = bytearray()
    for y in range(SIDE):
        row = bytearray(ground * SIDE)
        for left, top, size, colour in blocks:
            if top <= y < top + size:
                end = min(SIDE, left + size)
                row[3 * left:3 * end] = bytes(colour * (end - left))
        rows += b"\0" + row

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(bytes(rows), 1)) + chunk(b"IEND", b""))


def draw(folder):
    for family in range(FAMILIES):
        os.makedirs(os.path.join(folder, "f%02d" % family))
        for number in range(EACH):
            with open(os.path.join(folder, "f%02d" % family, "%03d.png" % number), "wb") as file:
                file.write(png(family * 1000 + number))


class Collection:
    def __init__(self, command, photos, catalog, work):
        self.command, self.photos, self.catalog, self.work = command, photos, catalog, work

    def words(self, *words):
        return [self.command, "-c", self.catalog, *words]

    def scan_words(self):
        return self.words("scan", "-q", "--threads", "2", self.photos)

    def run(self, *words):
        done = subprocess.run(self.words(*words), capture_output=True, text=True, errors="replace")
        if done.returncode != 0:
            raise SystemExit("imgsim %s: exit %d\n%s%s" % (" ".join(words), done.returncode, done.stdout, done.stderr))
        return done.stdout

    def files(self):
        """Path -> (id, content hash) of the images in state ok."""
        path = os.path.join(self.work, "files.csv")
        self.run("export", "--csv", path)
        with open(path, newline="", errors="surrogateescape") as file:
            return {row["path"]: (int(row["id"]), row["content_hash"])
                    for row in csv.DictReader(file) if row["state"] == "ok"}

    def rows(self, feature):
        """Id -> bytes of its row."""
        path = os.path.join(self.work, feature + ".npy")
        self.run("export", "--npy", feature, path)
        ids = npy(os.path.join(self.work, feature + ".ids.npy"))
        data = npy(path)
        size = len(data) // (len(ids) // 8)
        return {number: data[i * size:(i + 1) * size] for i, (number,) in enumerate(struct.iter_unpack("<q", ids))}


def npy(path):
    with open(path, "rb") as file:
        data = file.read()
    assert data[:6] == b"\x93NUMPY", path
    header = struct.unpack("<H", data[8:10])[0] + 10 if data[6] == 1 else struct.unpack("<I", data[8:12])[0] + 12
    return data[header:]


def disturb(collection, kills, rng, seconds):
    """Kill N scans; when one gets through before, start again from nothing."""
    known, landed, restarts = {}, 0, 0
    while landed < kills:
        scan = subprocess.Popen(collection.scan_words(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        time.sleep(rng.uniform(0, seconds))
        scan.send_signal(signal.SIGKILL)
        error = scan.communicate()[1]
        if scan.returncode == 0:
            shutil.rmtree(collection.catalog)
            known, restarts = {}, restarts + 1
            if restarts > 20 * kills:
                raise SystemExit("scans end before they can be killed")
            continue
        if scan.returncode != -signal.SIGKILL:
            raise SystemExit("scan: exit %d\n%s" % (scan.returncode, error.decode("utf-8", "replace")))
        landed += 1
        if not os.path.exists(os.path.join(collection.catalog, "catalog.db")):
            if known:
                raise SystemExit("the catalog is gone")
            continue
        collection.run("verify")
        files = collection.files()
        lost = [path for path, value in known.items() if files.get(path) != value]
        if lost:
            raise SystemExit("%d committed images were lost or changed, %s for instance" % (len(lost), lost[0]))
        known = files
    return restarts


def compare(disturbed, calm):
    files, expected = disturbed.files(), calm.files()
    if {path: value[1] for path, value in files.items()} != {path: value[1] for path, value in expected.items()}:
        raise SystemExit("the files differ from those of a scan that was never disturbed")
    for feature in ("color", "hash"):
        rows, wanted = disturbed.rows(feature), calm.rows(feature)
        for path, (number, _) in files.items():
            if rows[number] != wanted[expected[path][0]]:
                raise SystemExit("%s: the row of %s differs" % (path, feature))
    return len(files)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--command", required=True)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("kills", type=int)
    arguments = parser.parse_args()
    if not os.access(arguments.command, os.X_OK):
        print("skipped: %s is not built" % arguments.command)
        return 77
    print("seed", arguments.seed)
    rng = random.Random(arguments.seed)
    work = os.path.realpath(tempfile.mkdtemp(prefix="imgsim-kills-"))
    try:
        photos = os.path.join(work, "photos")
        draw(photos)
        calm = Collection(arguments.command, photos, os.path.join(work, "calm"), work)
        begun = time.monotonic()
        subprocess.run(calm.scan_words(), check=True)
        seconds = time.monotonic() - begun
        disturbed = Collection(arguments.command, photos, os.path.join(work, "disturbed"), work)
        restarts = disturb(disturbed, arguments.kills, rng, seconds)
        subprocess.run(disturbed.scan_words(), check=True)
        disturbed.run("verify")
        count = compare(disturbed, calm)
        if count != FAMILIES * EACH:
            raise SystemExit("%d images, expected %d" % (count, FAMILIES * EACH))
        print("%d kills, %d scans came through before theirs; %d images agree" % (arguments.kills, restarts, count))
        return 0
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
