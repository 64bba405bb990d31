# SPDX-License-Identifier: Apache-2.0
"""How fast a folder is scanned for colour histograms, perceptual hashes and thumbnails, against Python programs that do less.

usage: ./run bench scan [--part photos|cifar|networks] [--files N] [--rounds 5] [--threads 2] [--photos FOLDER] [--cifar FOLDER|TAR]
                        [--json FILE]

photos (3,000 files made of the photos of the test data), cifar (60,000 pictures of 32 x 32) and networks (embeddings of 300 photos:
MobileNetV2, and ResNet-50 with random weights) are measured apart.

The files are copies of real photos with a comment segment each, so that every file has a content of its own and decodes like
the photo. The programs take turns, in another order each round; the table has the medians. Ours is timed as a whole
process, from its start to its end, with all rows on the disk; of the Python programs only the work itself counts, without
starting and importing, and their rows stay in memory. Peak memory is that of a process and all its children together, taken
every 10 ms in a run of its own; pages that they share count once.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tarfile
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


def children(pid):
    """The processes of a tree, its root first."""
    found = [pid]
    try:
        for task in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/children" % (pid, task)) as file:
                for child in file.read().split():
                    found += children(int(child))
    except OSError:
        pass
    return found


def memory_of(pid):
    """MB of memory of a process and all below it; what they share counts once."""
    total = 0
    for process in children(pid):
        try:
            with open("/proc/%d/smaps_rollup" % process) as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
        except OSError:
            pass
    return total / 1024


def run(command, watch):
    """Seconds and standard output of a process, and when it is watched its peak memory in MB, which costs it time."""
    memory = 0
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    while watch and process.poll() is None:
        memory = max(memory, memory_of(process.pid))
        time.sleep(0.01)
    output = process.stdout.read()
    process.stdout.close()
    process.wait()
    seconds = time.monotonic() - started
    if process.returncode != 0:
        raise RuntimeError("%s: exit status %d" % (" ".join(command), process.returncode))
    return seconds, memory, output


def ours(watch, command, folder, work, threads, *options, model=None):
    """A scan into a new catalog; also checks that every file became an image."""
    catalog = os.path.join(work, "catalog")
    shutil.rmtree(catalog, ignore_errors=True)
    words = [command, "-q", "-c", catalog, "--threads", str(threads)]
    words += ["--model", model] if model else []
    seconds, memory, _ = run(words + ["scan", *options, folder], watch)
    status = json.loads(subprocess.run([command, "-c", catalog, "status", "--json"], check=True,
                                       stdout=subprocess.PIPE).stdout)
    return seconds, memory, status["states"]["ok"]


def peer(watch, python, mode, folder, threads, *more):
    _, memory, output = run([python, os.path.join(HERE, "scan_peer.py"), mode, folder, str(threads), *map(str, more)], watch)
    report = json.loads(output)
    return report["seconds"], memory, report["images"]


def decode_alone(watch, program, mode, folder, threads, min_side=0):
    _, memory, output = run([program, mode, folder, str(threads), str(min_side)], watch)
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


def python_with(module, *packages):
    """An interpreter that has a module: this one, or that of an environment of its own; None if it cannot be installed.

    Packages come from PyPI without their dependencies, which are Debian's.
    """
    probe = ["-c", "import " + module]
    if subprocess.run([sys.executable, *probe], stderr=subprocess.DEVNULL).returncode == 0:
        return sys.executable
    folder = os.path.join(BUILD, "bench", module.split(".")[0])
    python = os.path.join(folder, "bin", "python")
    if not os.path.exists(python):
        subprocess.run([sys.executable, "-m", "venv", "--system-site-packages", folder], check=True)
    if subprocess.run([python, *probe], stderr=subprocess.DEVNULL).returncode != 0:
        print("installing %s from PyPI into %s" % (" ".join(packages), folder), file=sys.stderr)
        installed = subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", *packages]).returncode == 0
        if not installed or subprocess.run([python, *probe]).returncode != 0:
            print("%s is left out: it cannot be installed here" % module, file=sys.stderr)
            return None
    return python


def programs(arguments, folder, work):
    """Name -> function that runs it once."""
    command = os.path.join(BUILD, "bin", "imgsim")
    threads = arguments.threads
    if arguments.part == "networks":
        return network_programs(arguments, command, folder, work)
    decoder = build_decoder(work)
    imagehash = python_with("imagehash", "imagehash", "PyWavelets")
    imagededup = python_with(
        "imagededup.methods", "imagededup", "PyWavelets", "tqdm", "matplotlib<3.9", "cycler", "fonttools", "kiwisolver",
        "pyparsing", "python-dateutil", "packaging", "six", "contourpy<1.3")
    rows = {
        "imgsim, full size, in process": lambda watch: ours(watch, command, folder, work, threads, "--full", "--isolation", "none"),
        "imgsim, full size, workers": lambda watch: ours(watch, command, folder, work, threads, "--full"),
        "imgsim, full, in process, no thumbs": lambda watch: ours(watch, command, folder, work, threads, "--full", "--isolation", "none", "--no-thumbs"),
        "OpenCV, one decode": lambda watch: peer(watch, sys.executable, "opencv", folder, threads),
    }
    if arguments.part == "photos":
        rows["imgsim, 256 pixels (default), in process"] = lambda watch: ours(watch, command, folder, work, threads, "--isolation", "none")
        rows["imgsim, 128 pixels, in process"] = lambda watch: ours(watch, command, folder, work, threads, "--isolation", "none", "--min-side", "128")
        rows["OpenCV, one decode, reduced by 2"] = lambda watch: peer(watch, sys.executable, "opencv-reduced", folder, threads)
    if imagehash is not None:
        rows["OpenCV + imagehash, two decodes"] = lambda watch: peer(watch, imagehash, "imagehash", folder, threads)
    if imagededup is not None:
        rows["imagededup, hash only"] = lambda watch: peer(watch, imagededup, "imagededup", folder, threads)
    if decoder is not None:
        rows["decode alone: libjpeg-turbo"] = lambda watch: decode_alone(watch, decoder, "turbojpeg", folder, threads)
        rows["decode alone: libvips"] = lambda watch: decode_alone(watch, decoder, "vips", folder, threads)
        if arguments.part == "photos":
            rows["decode alone: libjpeg-turbo, 256 pixels"] = lambda watch: decode_alone(watch, decoder, "turbojpeg", folder, threads, 256)
            rows["decode alone: libjpeg-turbo, 128 pixels"] = lambda watch: decode_alone(watch, decoder, "turbojpeg", folder, threads, 128)
    return rows


def random_resnet50(path):
    """torchvision's ResNet-50 with random weights as safetensors: for speed alone."""
    subprocess.run([sys.executable, "-c", """
import json, struct, sys, torch, torchvision
torch.manual_seed(1)
header, parts, at = {}, [], 0
for name, tensor in torchvision.models.resnet50(weights=None).state_dict().items():
    if not name.endswith("num_batches_tracked"):
        data = tensor.numpy().astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [at, at + len(data)]}
        at += len(data)
        parts.append(data)
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
with open(sys.argv[1], "wb") as file:
    file.write(struct.pack("<Q", len(text)) + text + b"".join(parts))
""", path], check=True)


def network_programs(arguments, command, folder, work):
    """Embeddings end to end, files to rows; histogram, hash and thumbnail come on top in ours."""
    threads = arguments.threads
    mobilenet = os.path.join(DATA, "models", "mobilenet_v2.safetensors")
    resnet = os.path.join(work, "resnet50.safetensors")
    random_resnet50(resnet)
    rows = {
        "imgsim, MobileNetV2": lambda watch: ours(watch, command, folder, work, threads, model=mobilenet),
        "imgsim, MobileNetV2, bf16": lambda watch: ours(watch, command, folder, work, threads, "--bf16", model=mobilenet),
        "imgsim, ResNet-50, bf16": lambda watch: ours(watch, command, folder, work, threads, "--architecture", "resnet50", "--bf16", model=resnet),
        "imgsim, ResNet-50": lambda watch: ours(watch, command, folder, work, threads, "--architecture", "resnet50", model=resnet),
    }
    for batch in (4, 16, 64):
        for inner in (1, threads):
            rows["torchvision, MobileNetV2, batches of %d, %d threads" % (batch, inner)] = (
                lambda watch, batch=batch, inner=inner: peer(
                    watch, sys.executable, "torchvision", folder, 2, "mobilenet_v2", batch, inner))
    rows["torchvision, ResNet-50, batches of 16"] = lambda watch: peer(watch, sys.executable, "torchvision", folder, 2, "resnet50", 16, threads)
    return rows


def measure(rows, rounds, expected):
    """Seconds of each round and peak memory of each program; the run that is watched for that also warms up."""
    samples = {name: [] for name in rows}
    peaks = {name: rows[name](True)[1] for name in rows}
    for turn in range(rounds):
        names = list(rows)
        names = names[turn % len(names):] + names[:turn % len(names)]
        for name in names if turn % 2 == 0 else reversed(names):
            seconds, _, images = rows[name](False)
            if images != expected:
                sys.exit("%s: %d images instead of %d" % (name, images, expected))
            samples[name].append(seconds)
            print("round %d: %-48s %6.2f s" % (turn + 1, name, seconds), file=sys.stderr)
    return samples, peaks


def machine():
    model = "unknown"
    if os.path.exists("/proc/cpuinfo"):
        for line in open("/proc/cpuinfo"):
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
    commit = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, text=True).stdout.strip()
    return {"cpu": model, "cpus": len(os.sched_getaffinity(0)), "system": platform.platform(), "commit": commit}


def collect(arguments, work):
    """The folder of files and how many there are."""
    if arguments.part != "cifar":
        folder = os.path.join(work, "files")
        count = arguments.files or (300 if arguments.part == "networks" else 3000)
        make_files(arguments.photos, folder, count)
        return folder, count
    folder = arguments.cifar
    if not os.path.exists(folder):
        sys.exit("no %s: name a folder or the archive with --cifar" % folder)
    if not os.path.isdir(folder):
        with tarfile.open(folder) as archive:
            archive.extractall(os.path.join(work, "files"))
        folder = os.path.join(work, "files")
    return folder, sum(len(names) for _, _, names in os.walk(folder))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("photos", "cifar", "networks"), default="photos")
    parser.add_argument("--files", type=int)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--photos", default=os.path.join(DATA, "images", "photos-100"))
    parser.add_argument("--cifar", default=os.path.join(DATA, "images", "cifar10-jpg.tar.gz"))
    parser.add_argument("--only", help="programs whose name contains this")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    if arguments.part != "cifar" and not os.path.isdir(arguments.photos):
        sys.exit("no folder %s: name one with --photos" % arguments.photos)

    with tempfile.TemporaryDirectory(prefix="imgsim-bench-") as work:
        folder, count = collect(arguments, work)
        rows = {name: row for name, row in programs(arguments, folder, work).items()
                if not arguments.only or arguments.only in name}
        samples, peaks = measure(rows, arguments.rounds, count)

    report = {"machine": machine(), "part": arguments.part, "files": count, "threads": arguments.threads,
              "rounds": arguments.rounds, "rows": []}
    first = next(iter(samples))
    base = statistics.median(samples[first])
    print("%d files, %d threads or processes; %s" % (count, arguments.threads, report["machine"]))
    print("%-48s %10s %9s %16s %9s" % ("", "images/s", "seconds", "of the first", "peak MB"))
    for name, values in samples.items():
        seconds, memory = statistics.median(values), peaks[name]
        report["rows"].append({"name": name, "images_per_second": count / seconds, "seconds": seconds,
                               "all_seconds": values, "peak_mb": memory,
                               "first_faster_by": seconds / base})
        print("%-48s %10.0f %9.2f %11.2f times %9.0f" % (name, count / seconds, seconds, seconds / base, memory))
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(report, file, indent=1)


if __name__ == "__main__":
    main()
