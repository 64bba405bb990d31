# SPDX-License-Identifier: Apache-2.0
"""How fast a folder is scanned for colour histograms and perceptual hashes, against Python programs that do the same.

usage: ./run bench scan [--files 3000] [--rounds 5] [--threads 2] [--photos FOLDER] [--json FILE]

The files are copies of real photos with a comment segment each, so that every file has a content of its own and decodes like
the photo. The programs take turns, in another order each round; the table has the medians. Ours is timed as a whole
process, from its start to its end, with all rows on the disk; of the Python programs only the work itself counts, without
starting and importing, and their rows stay in memory.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
DATA = os.environ.get("IMGSIM_TEST_DATA") or os.path.join(ROOT, "..", "shared", "data")
BUILD = os.environ.get("IMGSIM_BUILD_DIR") or os.path.join(ROOT, "build")


def make_files(photos, folder, count):
    """Write `count` copies, each with a comment (marker FE) of its own behind the start of the image."""
    names = sorted(name for name in os.listdir(photos) if name.lower().endswith((".jpg", ".jpeg")))
    if not names:
        sys.exit("no JPEG photos in %s: name a folder with --photos" % photos)
    contents = [open(os.path.join(photos, name), "rb").read() for name in names]
    size = 0
    for i in range(count):
        content = contents[i % len(contents)]
        comment = b"copy %08d" % i
        segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        sub = os.path.join(folder, "%03d" % (i // 250))
        os.makedirs(sub, exist_ok=True)
        with open(os.path.join(sub, "%06d.jpg" % i), "wb") as file:
            size += file.write(content[:2] + segment + content[2:])
    return size


def run(command):
    """Seconds, peak memory in MB and standard output of a process."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    output = process.stdout.read()
    process.stdout.close()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError("%s: exit status %d" % (" ".join(command), process.returncode))
    return seconds, usage.ru_maxrss / 1024, output


def ours(command, folder, work, threads, min_side):
    """A scan into a new catalog; also checks that every file became an image."""
    catalog = os.path.join(work, "catalog")
    shutil.rmtree(catalog, ignore_errors=True)
    seconds, memory, _ = run([command, "-q", "-c", catalog, "--threads", str(threads), "scan",
                              "--min-side", str(min_side), folder])
    status = json.loads(subprocess.run([command, "-c", catalog, "status", "--json"], check=True,
                                       stdout=subprocess.PIPE).stdout)
    return seconds, memory, status["states"]["ok"]


def peer(python, mode, folder, threads):
    _, _, output = run([python, os.path.join(HERE, "scan_peer.py"), mode, folder, str(threads)])
    report = json.loads(output)
    return report["seconds"], report["memory"], report["images"]


def decode_alone(program, mode, folder, threads):
    _, memory, output = run([program, mode, folder, str(threads)])
    seconds, images = output.split()
    return float(seconds), memory, int(images)


def build_decoder(work):
    """The program that only decodes, or None without a compiler."""
    program = os.path.join(work, "scan_decode")
    try:
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "vips", "libturbojpeg"], check=True,
                               stdout=subprocess.PIPE, text=True).stdout.split()
        subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", os.path.join(HERE, "scan_decode.c"), "-o", program,
                        *flags, "-lpthread"], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print("decoding alone is left out: %s" % error, file=sys.stderr)
        return None
    return program


def python_with_imagehash():
    """An interpreter that has imagehash: this one, or that of an environment of its own; None if it cannot be installed."""
    if subprocess.run([sys.executable, "-c", "import imagehash"], stderr=subprocess.DEVNULL).returncode == 0:
        return sys.executable
    folder = os.path.join(BUILD, "bench", "imagehash")
    python = os.path.join(folder, "bin", "python")
    if not os.path.exists(python):
        subprocess.run([sys.executable, "-m", "venv", "--system-site-packages", folder], check=True)
    if subprocess.run([python, "-c", "import imagehash"], stderr=subprocess.DEVNULL).returncode != 0:
        print("installing imagehash from PyPI into %s" % folder, file=sys.stderr)
        if subprocess.run([python, "-m", "pip", "install", "-q", "imagehash"]).returncode != 0:
            return None
    return python


def programs(arguments, folder, work):
    """Name -> (function that runs it once, name of the row it is compared with)."""
    command = os.path.join(BUILD, "bin", "imgsim")
    threads = arguments.threads
    decoder = build_decoder(work)
    imagehash = python_with_imagehash()
    rows = {
        "imgsim, full size": lambda: ours(command, folder, work, threads, 0),
        "imgsim, default (256 pixels)": lambda: ours(command, folder, work, threads, 256),
        "imgsim, reduced (128 pixels)": lambda: ours(command, folder, work, threads, 128),
        "OpenCV, one decode": lambda: peer(sys.executable, "opencv", folder, threads),
        "OpenCV, one decode, reduced by 2": lambda: peer(sys.executable, "opencv-reduced", folder, threads),
    }
    if imagehash is not None:
        rows["OpenCV + imagehash, two decodes"] = lambda: peer(imagehash, "imagehash", folder, threads)
    else:
        print("imagehash is left out: it cannot be installed here", file=sys.stderr)
    if decoder is not None:
        rows["decode alone: libjpeg-turbo"] = lambda: decode_alone(decoder, "turbojpeg", folder, threads)
        rows["decode alone: libvips"] = lambda: decode_alone(decoder, "vips", folder, threads)
    return rows


def measure(rows, rounds, expected):
    samples = {name: [] for name in rows}
    for turn in range(rounds):
        names = list(rows)
        names = names[turn % len(names):] + names[:turn % len(names)]
        for name in names if turn % 2 == 0 else reversed(names):
            seconds, memory, images = rows[name]()
            if images != expected:
                sys.exit("%s: %d images instead of %d" % (name, images, expected))
            samples[name].append((seconds, memory))
            print("round %d: %-34s %6.2f s" % (turn + 1, name, seconds), file=sys.stderr)
    return samples


def machine():
    model = "unknown"
    if os.path.exists("/proc/cpuinfo"):
        for line in open("/proc/cpuinfo"):
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
    commit = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, text=True).stdout.strip()
    return {"cpu": model, "cpus": len(os.sched_getaffinity(0)), "system": platform.platform(), "commit": commit}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--photos", default=os.path.join(DATA, "images", "photos-100"))
    parser.add_argument("--json")
    arguments = parser.parse_args()
    if not os.path.isdir(arguments.photos):
        sys.exit("no folder %s: name one with --photos" % arguments.photos)

    with tempfile.TemporaryDirectory(prefix="imgsim-bench-") as work:
        folder = os.path.join(work, "files")
        size = make_files(arguments.photos, folder, arguments.files)
        rows = programs(arguments, folder, work)
        for warm_up in list(rows.values())[:1]:
            warm_up()
        samples = measure(rows, arguments.rounds, arguments.files)

    report = {"machine": machine(), "files": arguments.files, "bytes": size, "threads": arguments.threads,
              "rounds": arguments.rounds, "rows": []}
    base = statistics.median(seconds for seconds, _ in samples["imgsim, full size"])
    print("%d files, %.0f MB, %d threads or processes; %s" %
          (arguments.files, size / 1e6, arguments.threads, report["machine"]))
    print("%-36s %10s %9s %18s %10s" % ("", "images/s", "seconds", "imgsim full is", "peak MB"))
    for name, values in samples.items():
        seconds = statistics.median(value for value, _ in values)
        memory = statistics.median(value for _, value in values)
        report["rows"].append({"name": name, "images_per_second": arguments.files / seconds, "seconds": seconds,
                               "all_seconds": [value for value, _ in values], "peak_mb": memory,
                               "imgsim_full_faster_by": seconds / base})
        print("%-36s %10.0f %9.2f %12.2f times %10.0f" % (name, arguments.files / seconds, seconds, seconds / base, memory))
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(report, file, indent=1)


if __name__ == "__main__":
    main()
