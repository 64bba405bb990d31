# SPDX-License-Identifier: Apache-2.0
"""What decoding in worker processes costs, and what a murderous decoder costs then.

usage: ./run bench workers [--files 3000] [--tiny 20000] [--rounds 5] [--threads 2] [--murders 0.01] [--file-timeout 0.25]
                           [--worker-memory 256] [--json FILE]

Scans of copies of real photos and of small pictures, each into a new catalog, without and with workers, in turns; medians of the
seconds that the scan reports. Then the same photos with a share of murders among them, in equal parts segmentation fault, abort, exit,
stack overflow, endless memory and endless loop, by a worker that is built for the tests: every other file must have the very rows of the scan
without murders. An endless loop lasts as long as it is given, so the limits stand beside the figures.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading

import numpy as np

import imgsim
from bench_scan import BUILD, DATA, machine, make_files

KINDS = ("segfault", "abort", "exit 3", "stack", "memory", "loop")
MURDEROUS = os.path.join(BUILD, "tests", "unit", "imgsim_murderous_worker")


def make_tiny(folder, count):
    """The first images of CIFAR-10 in the test data, or as many small pictures drawn here."""
    archive = os.path.join(DATA, "images", "cifar10-jpg.tar.gz")
    os.makedirs(folder)
    if os.path.exists(archive):
        with tarfile.open(archive) as tar:
            for number, member in enumerate(member for member in tar if member.isfile()):
                if number == count:
                    break
                with open(os.path.join(folder, "%06d.jpg" % number), "wb") as file:
                    file.write(tar.extractfile(member).read())
        return "CIFAR-10 JPEGs"
    rng = np.random.default_rng(1)
    for number in range(count):
        pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        with open(os.path.join(folder, "%06d.ppm" % number), "wb") as file:
            file.write(b"P6\n32 32\n255\n" + pixels.tobytes())
    return "drawn PPMs"


def add_murders(folder, count):
    """Orders to the murderous decoder, spread over the folder."""
    subs = sorted(name for name in os.listdir(folder))
    for number in range(count):
        order = KINDS[number % len(KINDS)]
        pixels = bytes((x * 7 + number) % 256 for x in range(64 * 48 * 3))
        with open(os.path.join(folder, subs[number % len(subs)], "%06d-murder.ppm" % (number * 7)), "wb") as file:
            file.write(b"P6\n#MURDER %s\n64 48\n255\n" % order.encode() + pixels)


class Watch:
    """The largest resident memory of any worker, looked at every 10 ms."""

    def __init__(self):
        self.most = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.look)

    def look(self):
        while not self.over.wait(0.01):
            for name in os.listdir("/proc"):
                if not name.isdigit():
                    continue
                try:
                    with open("/proc/%s/comm" % name) as file:
                        if not file.read().startswith("imgsim"):
                            continue
                    with open("/proc/%s/status" % name) as file:
                        sizes = [int(line.split()[1]) for line in file if line.startswith("RssAnon")]
                    self.most = max([self.most] + sizes)
                except OSError:
                    continue

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def scan(folder, catalog, isolation, arguments, worker=None):
    shutil.rmtree(catalog, ignore_errors=True)
    environment = dict(os.environ)
    environment.pop("IMGSIM_WORKER", None)
    if worker is not None:
        environment["IMGSIM_WORKER"] = worker
    output = subprocess.run(
        [os.path.join(BUILD, "bin", "imgsim"), "scan", folder, "-c", catalog, "-q", "--json", "--threads",
         str(arguments.threads), "--isolation", isolation, "--file-timeout", str(arguments.file_timeout),
         "--worker-memory", str(arguments.worker_memory)],
        env=environment, check=True, stdout=subprocess.PIPE).stdout
    return json.loads(output)


def compare(folder, modes, arguments, catalog):
    """Medians of seconds per mode, in alternating order."""
    seconds = {mode: [] for mode in modes}
    scan(folder, catalog, modes[0], arguments)
    for turn in range(arguments.rounds):
        for mode in modes if turn % 2 == 0 else reversed(modes):
            report = scan(folder, catalog, mode, arguments)
            seconds[mode].append(report["seconds"])
            print("round %d: %-8s %6.2f s" % (turn + 1, mode, report["seconds"]), file=sys.stderr)
    return ({mode: statistics.median(values) for mode, values in seconds.items()},
            {mode: min(values) for mode, values in seconds.items()})


def rows_by_path(catalog):
    with imgsim.Catalog(catalog) as opened:
        hashes, colors = opened.features("hash"), opened.features("color")
        return {os.path.basename(path): (bytes(hashes[i]), np.asarray(colors[i]).tobytes())
                for i, path in enumerate(opened.paths) if path is not None and "murder" not in path}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=3000)
    parser.add_argument("--tiny", type=int, default=20000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--murders", type=float, default=0.01)
    parser.add_argument("--file-timeout", type=float, default=0.25)
    parser.add_argument("--worker-memory", type=int, default=256)
    parser.add_argument("--photos", default=os.path.join(DATA, "images", "photos-100"))
    parser.add_argument("--json")
    arguments = parser.parse_args()
    if not os.path.isdir(arguments.photos):
        sys.exit("no folder %s: name one with --photos" % arguments.photos)
    if not os.path.exists(MURDEROUS):
        sys.exit("no %s: build the tests" % MURDEROUS)

    report = {"machine": machine(), "threads": arguments.threads, "rounds": arguments.rounds,
              "file_timeout": arguments.file_timeout, "worker_memory_mb": arguments.worker_memory}
    with tempfile.TemporaryDirectory(prefix="imgsim-bench-") as work:
        catalog = os.path.join(work, "catalog")
        photos, tiny = os.path.join(work, "photos"), os.path.join(work, "tiny")
        make_files(arguments.photos, photos, arguments.files)
        report["tiny_files"] = make_tiny(tiny, arguments.tiny)
        for name, folder, count in (("photos", photos, arguments.files), ("tiny", tiny, arguments.tiny)):
            medians, best = compare(folder, ["none", "workers"], arguments, catalog)
            report[name] = {"files": count, "seconds": medians, "share": medians["none"] / medians["workers"],
                            "best_seconds": best, "best_share": best["none"] / best["workers"]}

        scan(photos, catalog, "workers", arguments)
        healthy = rows_by_path(catalog)
        murders = max(len(KINDS), round(arguments.murders * arguments.files))
        add_murders(photos, murders)
        seconds = []
        with Watch() as watch:
            for _ in range(arguments.rounds):
                result = scan(photos, catalog, "workers", arguments, MURDEROUS)
                seconds.append(result["seconds"])
        if rows_by_path(catalog) != healthy or result["failed"] != murders:
            sys.exit("murders: %s, or rows of others differ" % result)
        report["murders"] = {"count": murders, "seconds": statistics.median(seconds), "crashed": result["crashed"],
                             "timed_out": result["timed_out"], "failed": result["failed"],
                             "slower": statistics.median(seconds) / report["photos"]["seconds"]["workers"] - 1,
                             "peak_worker_mb": watch.most / 1024}

    print("%d threads; %s" % (arguments.threads, report["machine"]))
    print("%-24s %8s %12s %12s %10s %12s" % ("", "files", "here, /s", "workers, /s", "share", "best rounds"))
    for name in ("photos", "tiny"):
        row = report[name]
        print("%-24s %8d %12.0f %12.0f %9.0f%% %11.0f%%" % (
            name if name == "photos" else report["tiny_files"], row["files"], row["files"] / row["seconds"]["none"],
            row["files"] / row["seconds"]["workers"], 100 * row["share"], 100 * row["best_share"]))
    row = report["murders"]
    print("%d murders (%d crashed, %d timed out after %g s, %d out of %d MB): %.0f files/s, %.0f%% more time; largest worker %.0f MB" % (
        row["count"], row["crashed"], row["timed_out"], arguments.file_timeout,
        row["failed"] - row["crashed"] - row["timed_out"], arguments.worker_memory,
        (arguments.files + row["count"]) / row["seconds"], 100 * row["slower"], row["peak_worker_mb"]))
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(report, file, indent=1)


if __name__ == "__main__":
    main()
