#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Scan again a tree in which nothing has changed: time and memory.

    ./run bench rescan [--files N] [--folder-files N] [--repeat N] [--json FILE]

The files are pictures of one pixel of 67 bytes in folders of a thousand, 444,668 of them unless told otherwise. The first scan, which
computes their hashes, is timed, too, but not what this is about. A rescan lists the folders, examines every file and compares it with
its record; `find -printf` does the first two.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import zlib

FILES = 444668


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pixel(number):
    """A PNG of one pixel; 2^24 different ones."""
    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" + number.to_bytes(3, "big"))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def write_tree(root, files, per_folder):
    for number in range(files):
        if number % per_folder == 0:
            folder = os.path.join(root, "%05d" % (number // per_folder))
            os.makedirs(folder)
        with open(os.path.join(folder, "%07d.png" % number), "wb") as file:
            file.write(pixel(number))


def timed(words):
    """Seconds, the peak memory of the process in MB, and its output."""
    begun = time.monotonic()
    process = subprocess.Popen(words, stdout=subprocess.PIPE)
    out = process.stdout.read()
    process.stdout.close()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit("%s: exit %d" % (" ".join(words), process.returncode))
    return seconds, usage.ru_maxrss // 1024, out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=FILES)
    parser.add_argument("--folder-files", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json")
    parser.add_argument("--work", help="an existing folder that is kept, for another run on the same tree")
    arguments = parser.parse_args()
    command = os.path.join(os.environ.get("IMGSIM_BUILD_DIR", "build"), "bin", "imgsim")
    work = arguments.work or tempfile.mkdtemp(prefix="imgsim-rescan-")
    photos = os.path.join(work, "photos")
    try:
        if not os.path.isdir(photos):
            write_tree(photos, arguments.files, arguments.folder_files)
        words = [command, "-c", os.path.join(work, "catalog"), "scan", "-q", "--json", "--no-color", "--no-thumbs", photos]
        first = timed(words)[0]
        rescans, finds, reports = [], [], []
        for _ in range(arguments.repeat):
            seconds, peak, out = timed(words)
            rescans.append(seconds)
            reports.append(json.loads(out))
            finds.append(timed(["find", photos, "-type", "f", "-printf", "%s %T@\n"])[0])
        for report in reports:
            assert report["unchanged"] == report["seen"] == arguments.files and report["bytes"] == 0, report
        result = {"benchmark": "rescan", "machine": platform.machine(), "files": arguments.files,
                  "first_scan_s": round(first, 2), "rescan_s": round(statistics.median(rescans), 3),
                  "rescan_all_s": [round(s, 3) for s in rescans], "peak_mb": peak,
                  "bytes_per_file": round(peak * (1 << 20) / arguments.files), "find_s": round(statistics.median(finds), 3)}
        print("%d files: first scan %.1f s; rescan %.2f s (median of %d), %d MB; find -printf %.2f s" % (
            arguments.files, first, result["rescan_s"], arguments.repeat, peak, result["find_s"]))
        if arguments.json:
            with open(arguments.json, "w") as file:
                json.dump(result, file, indent=1)
        return 0
    finally:
        if not arguments.work:
            shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
