#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kills.py --command IMGSIM [--seed S] N: kill `imgsim scan` N times at random moments; nothing committed may be lost.

After every kill the catalog is sound, and every image that was in it still is, under the same id: nothing is lost. A watch on the
folders tells which files a scan opened: none that was in the catalog before, so nothing is done twice, and no more beyond the
stored ones than a transaction and what is in work. In the end the exported table, but for its random UUIDs, and the exported
features are those of a scan that was never disturbed, byte for byte.
"""

import argparse
import csv
import ctypes
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from pictures import png  # noqa: E402

FAMILIES, EACH = 20, 100
FEATURES = ("color", "hash")
# Images of a transaction that was not committed, and results that wait to be stored.
TRANSACTION, IN_WORK = 500, 512 + 16


def draw(folder):
    for family in range(FAMILIES):
        os.makedirs(os.path.join(folder, "f%02d" % family))
        for number in range(EACH):
            with open(os.path.join(folder, "f%02d" % family, "%03d.png" % number), "wb") as file:
                file.write(png(family * 1000 + number))


class Watch:
    """Which files below some folders were opened, by inotify."""

    OPEN = 0x20

    def __init__(self, folders):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self.libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "inotify")
        self.folders = {}
        for folder in folders:
            number = self.libc.inotify_add_watch(self.fd, os.fsencode(folder), self.OPEN)
            if number < 0:
                raise OSError(ctypes.get_errno(), "inotify: %s" % folder)
            self.folders[number] = folder

    def opened(self):
        """Paths opened since the last call; None if there were too many to tell."""
        paths = set()
        while True:
            try:
                data = os.read(self.fd, 1 << 20)
            except BlockingIOError:
                return paths
            while data:
                number, mask, _cookie, length = struct.unpack("iIII", data[:16])
                if mask & 0x4000:
                    return None
                if length:
                    paths.add(os.path.join(self.folders[number], os.fsdecode(data[16:16 + length].rstrip(b"\0"))))
                data = data[16 + length:]


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

    def exported(self):
        """Name -> bytes of everything that can be exported; the random UUIDs as zeros."""
        path = os.path.join(self.work, "all.csv")
        self.run("export", "--csv", path)
        with open(path, "rb") as file:
            lines = file.read().split(b"\n")
        assert lines[0].startswith(b"id,uuid,"), lines[0]
        parts = [line.split(b",", 2) for line in lines[1:] if line]
        found = {"csv": b"\n".join(part[0] + b",," + part[2] for part in parts)}
        assert len({part[1] for part in parts}) == len(parts), "a UUID is there twice"
        for feature in FEATURES:
            path = os.path.join(self.work, feature + ".npy")
            self.run("export", "--npy", feature, path)
            for name in (feature + ".npy", feature + ".ids.npy"):
                with open(os.path.join(self.work, name), "rb") as file:
                    found[name] = file.read()
        return found


def check_opened(opened, known, files):
    """What a killed scan opened, against what was known before it and after."""
    if opened is None:
        raise SystemExit("the watch lost count of the files that were opened")
    twice = [path for path in opened if path in known]
    if twice:
        raise SystemExit("%d images were done twice, %s for instance" % (len(twice), twice[0]))
    lost = len(opened) - (len(files) - len(known))
    if lost > TRANSACTION + IN_WORK:
        raise SystemExit("%d images were read and not stored" % lost)
    return lost


def disturb(collection, watch, kills, rng, seconds):
    """Kill N scans; when one gets through before, start again from nothing."""
    known, landed, restarts = {}, 0, 0
    watch.opened()
    while landed < kills:
        scan = subprocess.Popen(collection.scan_words(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        time.sleep(rng.uniform(0, seconds))
        scan.send_signal(signal.SIGKILL)
        error = scan.communicate()[1]
        if scan.returncode == 0:
            check_opened(watch.opened(), known, collection.files())
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
            check_opened(watch.opened(), {}, {})
            continue
        collection.run("verify")
        files = collection.files()
        lost = [path for path, value in known.items() if files.get(path) != value]
        if lost:
            raise SystemExit("%d committed images were lost or changed, %s for instance" % (len(lost), lost[0]))
        if [number for number, _hash in sorted(files.values())] != list(range(len(files))):
            raise SystemExit("ids were given to images that are not there")
        check_opened(watch.opened(), known, files)
        known = files
    return restarts


def compare(disturbed, calm):
    found, wanted = disturbed.exported(), calm.exported()
    for name in sorted(wanted):
        if found[name] != wanted[name]:
            raise SystemExit("%s: not what a scan has that was never disturbed" % name)
    return len(disturbed.files())


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
        watch = Watch([os.path.join(photos, name) for name in sorted(os.listdir(photos))])
        restarts = disturb(disturbed, watch, arguments.kills, rng, seconds)
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
