# SPDX-License-Identifier: Apache-2.0
"""The time left that a scan tells, against what it then takes, on folders of small and large pictures in several orders.

usage: ./run bench progress [--copies 3] [--threads 2] [--json FILE]

The pictures are copies of images/photos-100 (large, eight times each) and images/caltech101-20 (small) of the test data. For each order: how far the estimate was
off, as a share of the time that was really left, from a tenth of the run to nine tenths; the target is a fifth.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("IMGSIM_BUILD_DIR") or os.path.join(HERE, "..", "..", "build")
DATA = os.environ.get("IMGSIM_TEST_DATA") or os.path.join(HERE, "..", "..", "..", "shared", "data")


def pictures(folder):
    found = []
    for place, _, names in os.walk(os.path.join(DATA, "images", folder)):
        found += [os.path.join(place, name) for name in names if name.lower().endswith((".jpg", ".jpeg"))]
    return sorted(found)


def fill(folder, groups):
    """Sub-folders in the order in which a scan reads them, each with pictures of one list."""
    for number, paths in enumerate(groups):
        inner = os.path.join(folder, "%04d" % number)
        os.makedirs(inner)
        for i, path in enumerate(paths):
            shutil.copy(path, os.path.join(inner, "%06d.jpg" % i))


def orders(copies):
    small, large = pictures("caltech101-20"), pictures("photos-100") * 8
    if not small or not large:
        sys.exit("bench progress: no pictures below %s" % DATA)
    parts = [small[i::20] for i in range(20)], [large[i::20] for i in range(20)]
    return {
        "small, then large": [small] * copies + [large] * copies,
        "large, then small": [large] * copies + [small] * copies,
        "folders of either kind by turns": [part for pair in zip(*parts) for part in pair] * copies,
        "all mixed": [[path for pair in zip(*parts) for part in pair for path in part]] * copies,
    }


def scan(folder, threads):
    """(elapsed, remaining or None) of each event of the phase "scan", and its end."""
    catalog = folder + ".imgsim"
    command = [os.path.join(BUILD, "bin", "imgsim"), "-c", catalog, "scan", folder, "--progress=json", "-q",
               "--threads", str(threads)]
    text = subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE).stderr
    events = [json.loads(line) for line in text.splitlines()]
    events = [event for event in events if event["phase"] == "scan"]
    shutil.rmtree(catalog)
    return [(event["elapsed_seconds"], event["remaining_seconds"]) for event in events]


def errors(events):
    start, end = events[0][0], events[-1][0]
    found = []
    for elapsed, remaining in events:
        share = (elapsed - start) / (end - start)
        if 0.1 <= share <= 0.9:
            found.append(abs(remaining - (end - elapsed)) / (end - elapsed) if remaining is not None else 1.0)
    return sorted(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    results = {}
    print("%-34s %8s %8s %8s %8s" % ("", "seconds", "median", "9 of 10", "worst"))
    for name, groups in orders(arguments.copies).items():
        with tempfile.TemporaryDirectory() as place:
            folder = os.path.join(place, "pictures")
            fill(folder, groups)
            events = scan(folder, arguments.threads)
        found = errors(events)
        if not found:
            sys.exit("bench progress: the scan is over too fast; raise --copies")
        results[name] = {"seconds": events[-1][0], "median": found[len(found) // 2],
                         "nine_of_ten": found[len(found) * 9 // 10], "worst": found[-1], "events": len(found)}
        print("%-34s %8.1f %7.0f%% %7.0f%% %7.0f%%" % (
            name, events[-1][0], *(100 * results[name][key] for key in ("median", "nine_of_ten", "worst"))))
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
