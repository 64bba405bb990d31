#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""mutations.py --command IMGSIM [--seed S] N: scan the hostile files and N mutations of them in one scan.

The scan ends; each file is in exactly one state and has a reason when it is not ok; what is ok has the features that decoding it
alone gives; the catalog is sound; a second scan finds nothing to do; no process grew beyond a limit.
"""

import argparse
import collections
import os
import random
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time

import numpy as np

try:
    import imgsim
except OSError as error:
    print("skipped: %s" % error)
    sys.exit(77)

MEMORY = 2 << 30
ENDINGS = ["jpg", "png", "gif", "tiff", "webp", "bmp", "heic", "avif", "jxl", "pnm", "txt", "", "JPG.png"]
VALUES = [0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff]
# Larger files take part less often, so that the whole stays small.
LARGE, LARGE_EVERY = 60000, 12


def flip_bits(data, rng, _others):
    for _ in range(1 << rng.randrange(6)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def overwrite(data, rng, _others):
    at, size = rng.randrange(len(data)), 1 << rng.randrange(10)
    data[at:at + size] = bytes([rng.choice([0, 0xff, rng.randrange(256)])]) * len(data[at:at + size])


def cut(data, rng, _others):
    del data[rng.randrange(len(data)):]


def cut_middle(data, rng, _others):
    at = rng.randrange(len(data))
    del data[at:at + 1 + rng.randrange(1 << rng.randrange(12))]


def repeat(data, rng, _others):
    at = rng.randrange(len(data))
    part = data[at:at + 1 + rng.randrange(2000)]
    data[at:at] = part * rng.randrange(1, 30)


def splice(data, rng, others):
    other = rng.choice(others)
    at, there = rng.randrange(len(data)), rng.randrange(len(other) + 1)
    data[at:] = other[there:there + 200000]


def header_field(data, rng, _others):
    """A field near the begin, or anywhere, gets a value of those that decoders stumble over."""
    form = rng.choice(["<H", ">H", "<I", ">I", "B"])
    size = struct.calcsize(form)
    for _ in range(rng.randrange(1, 4)):
        end = len(data) - size
        if end < 0:
            return
        at = rng.randrange(min(end, rng.choice([40, 200, end])) + 1)
        data[at:at + size] = struct.pack(form, rng.choice(VALUES) & ((1 << 8 * size) - 1))


MUTATORS = [flip_bits, flip_bits, overwrite, cut, cut_middle, repeat, splice, header_field, header_field]


def mutate(data, rng, others):
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        if data:
            rng.choice(MUTATORS)(data, rng, others)
    return bytes(data)


def hostile(folder):
    return sorted(os.path.join(where, name) for where, _folders, names in os.walk(folder) for name in names)


def write_mutations(sources, target, count, rng):
    contents = []
    for path in sources:
        with open(path, "rb") as file:
            contents.append(file.read())
    small = [data for data in contents if len(data) <= LARGE]
    written = turn = 0
    while written < count:
        for data in contents:
            if written == count:
                break
            if not data or (len(data) > LARGE and turn % LARGE_EVERY):
                continue
            folder = os.path.join(target, "%03d" % (written // 500))
            os.makedirs(folder, exist_ok=True)
            with open(os.path.join(folder, "m%05d.%s" % (written, rng.choice(ENDINGS))), "wb") as file:
                file.write(mutate(data, rng, small))
            written += 1
        turn += 1


def scan(command, catalog, photos):
    begun = time.monotonic()
    done = subprocess.run([command, "-c", catalog, "scan", "-q", "--threads", "2", photos], stderr=subprocess.PIPE,
                          stdout=subprocess.DEVNULL, timeout=3600)
    if done.returncode != 0:
        raise SystemExit("scan: exit %d\n%s" % (done.returncode, done.stderr.decode("utf-8", "replace")))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    if peak > MEMORY:
        raise SystemExit("a process of the scan had %d MB" % (peak >> 20))
    return time.monotonic() - begun, peak


def check_states(catalog, photos):
    """Each file of the folder in exactly one state, with a reason unless it is ok."""
    files = catalog.files()
    wanted = hostile(photos)
    assert sorted(file.path for file in files) == sorted(wanted), "%d records of %d files" % (len(files), len(wanted))
    for file in files:
        assert (file.state == "ok") == (file.id >= 0) and (file.state == "ok" or file.reason), str(file)
        assert file.state != "missing" and "\n" not in file.reason, str(file)
    return files


def check_features(catalog, files, originals, sample, rng):
    """Rows of the scan against those of decoding alone: all that were not mutated, and some of the others."""
    healthy = [file for file in files if file.state == "ok"]
    chosen = [file for file in healthy if originals in file.path]
    others = [file for file in healthy if originals not in file.path]
    chosen += rng.sample(others, min(sample, len(others)))
    for name in ("color", "hash"):
        rows, extractor = catalog.features(name), imgsim.Extractor(name)
        for file in chosen:
            if not np.array_equal(rows[file.id], extractor.extract(file.path, min_side=256)):
                raise SystemExit("%s: another row of %s than decoded alone" % (file.path, name))
    return len(chosen)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--command", required=True)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--data", default=os.environ.get("IMGSIM_TEST_DATA", "../shared/data"))
    parser.add_argument("count", type=int)
    arguments = parser.parse_args()
    source = os.path.join(arguments.data, "hostile")
    if not os.path.isdir(source):
        print("skipped: no %s" % source)
        return 77
    print("seed", arguments.seed, flush=True)
    rng = random.Random(arguments.seed)
    work = os.path.realpath(tempfile.mkdtemp(prefix="imgsim-mutations-"))
    try:
        photos, originals = os.path.join(work, "photos"), os.path.join(work, "photos", "originals")
        shutil.copytree(source, originals, copy_function=shutil.copyfile)
        write_mutations(hostile(originals), photos, arguments.count, rng)
        catalog_path = os.path.join(work, "catalog")
        seconds, peak = scan(arguments.command, catalog_path, photos)
        with imgsim.Catalog(catalog_path) as catalog:
            files = check_states(catalog, photos)
            assert catalog.verify() == []
            compared = check_features(catalog, files, originals, 1000, rng)
            again = catalog.scan([photos], threads=2)
            assert again["unchanged"] == again["seen"] == len(files), again
        counts = collections.Counter("%s:%s" % (file.state, file.reason) if file.reason else file.state for file in files)
        print("%d files in %.0f s, at most %d MB: %s" % (
            len(files), seconds, peak >> 20, ", ".join("%d %s" % (n, what) for what, n in counts.most_common(12))))
        print("%d rows as decoded alone" % compared)
        return 0
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
