# SPDX-License-Identifier: Apache-2.0
"""The map as a page and for TensorBoard: bytes, time to write, time to the first picture, frames a second in headless Chromium.

usage: ./run bench page [--points 444668] [--pictures 5000] [--rounds 3] [--seconds 3] [--only page|tensorboard] [--keep FOLDER]
                        [--json FILE]

Points, names and neighbours are drawn: clusters in the plane and in space; names as ImageNet's in 1,000 folders; of the
neighbours 60 % lie near on the map, 30 % farther, 10 % anywhere in the cluster, which packs worse than those of a good map.
Pictures are thumbnails of the photos of the test data, which repeat; without the data they are drawn, and the table says so.
Chromium draws with its software renderer (SwiftShader), window 1280 x 800. Time to the first picture is from the start of loading until all
points were drawn (the page's mark "map-drawn"), in a fresh browser profile; the file is in the system's cache. Frames are those that
the browser asked for while the mouse moved without a pause. TensorBoard comes from PyPI; its server must hand out our bytes.
"""

import argparse
import json
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

import numpy as np

import imgsim

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.environ.get("IMGSIM_TEST_DATA") or os.path.join(HERE, "..", "..", "..", "shared", "data")
BUILD = os.environ.get("IMGSIM_BUILD_DIR") or os.path.join(HERE, "..", "..", "build")
SHOWN = 100000  # rows that TensorBoard reads


def environment(name, *packages):
    """Python of an environment below the build folder that has the packages."""
    folder = os.path.join(os.path.abspath(BUILD), "bench", name)
    python = os.path.join(folder, "bin", "python")
    if not os.path.exists(os.path.join(folder, "ready")):
        print("installing %s from PyPI into %s" % (" ".join(packages), folder), file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--system-site-packages", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
        open(os.path.join(folder, "ready"), "w").close()
    return python


# ---- what is shown ----

def thumbnails(work):
    """JPEGs to show, and what they are."""
    photos = os.path.join(DATA, "images", "caltech101-20")
    what = "photos of Caltech-101"
    if not os.path.isdir(photos):
        photos, what = os.path.join(work, "gallery"), "drawn pictures: the test data is missing"
        subprocess.run([sys.executable, "-B", os.path.join(HERE, "..", "..", "examples", "gallery.py"), photos, "20"], check=True)
    with imgsim.Catalog(os.path.join(work, "catalog"), create=True) as catalog:
        catalog.scan([photos])
        return [data for data in catalog.thumbnails() if data], what


def neighbours_of(positions, cluster, count, rng):
    """Links of a lifelike mixture of distances."""
    cell = (positions - positions.min(0)) / np.ptp(positions, axis=0) * 1023
    near = np.lexsort((cell[:, 0] // 4, cell[:, 1] // 4))  # runs of points that lie near each other
    rank = np.empty(len(near), np.int64)
    rank[near] = np.arange(len(near))
    by_cluster = np.argsort(cluster, kind="stable")
    starts = np.searchsorted(cluster[by_cluster], np.arange(cluster.max() + 2))
    links = np.empty((len(near), count), np.uint32)
    for k in range(count):
        kind = rng.random(len(near))
        step = np.where(kind < 0.6, rng.integers(1, 60, len(near)), rng.integers(1, 3000, len(near)))
        link = near[(rank + step * rng.choice((-1, 1), len(near))) % len(near)]
        sizes = starts[cluster + 1] - starts[cluster]
        far = by_cluster[starts[cluster] + rng.integers(0, 1 << 62, len(near)) % sizes]
        links[:, k] = np.where(kind < 0.9, link, far)
    return links


def collection(count):
    """Rows of three values, clusters, paths, dates, neighbours."""
    rng = np.random.default_rng(1)
    groups = 1000 if count >= 20000 else max(2, count // 20)
    cluster = np.sort(rng.integers(0, groups, count))[rng.permutation(count)]
    centres = rng.standard_normal((groups, 3)) * 10
    rows = (centres[cluster] + rng.standard_normal((count, 3)) * rng.gamma(2, 0.25, groups)[cluster][:, None]).astype(np.float32)
    paths = ["/data/imagenet/train/n%08d/n%08d_%d.JPEG" % (1440764 + 7919 * c, 1440764 + 7919 * c, i * 2654435761 % 50000)
             for i, c in enumerate(cluster.tolist())]
    return rows, cluster, paths, 1.2e9 + rng.random(count) * 4e8, rng


def build(options, work):
    rows, cluster, paths, dates, rng = collection(options.points)
    jpegs, what = thumbnails(work)
    flat, deep = imgsim.Map(rows, layout="pca", dim=2), imgsim.Map(rows, layout="pca", dim=3)
    links = neighbours_of(flat.positions, cluster, 5, rng)
    noisy = np.where(rng.random(options.points) < 0.1, -1, cluster // 5)
    page = imgsim.Page(
        flat, also=deep, paths=paths, dates=dates, neighbours=links,
        columns={"Cluster": noisy, "Label": ["class %d" % c for c in cluster]},
        figures={"trustworthiness": (0.97, "drawn, not measured")}, pictures=lambda place: jpegs[place % len(jpegs)])
    return page, what


# ---- the page in a browser: runs in the environment of Playwright ----

def browse(path, seconds):
    """One load of the page: milliseconds until it was drawn and complete, frames a second of each movement."""
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=[
            "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto("file://" + path)
        page.wait_for_selector("html[data-state=complete]", state="attached", timeout=120000)
        found = dict(page.evaluate("performance.getEntriesByType('mark').map(mark => [mark.name, mark.startTime])"))
        page.wait_for_timeout(800)
        found["pan"] = frames(page, seconds)
        for _ in range(10):
            page.mouse.wheel(0, -120)
            page.wait_for_timeout(30)
        page.wait_for_timeout(800)
        found["pan close"] = frames(page, seconds)
        page.keyboard.press("0")
        page.keyboard.press("3")
        page.wait_for_timeout(1500)
        found["turn"] = frames(page, seconds)
        browser.close()
    return found


def frames(page, seconds):
    """Frames a second while the map is dragged along a curve."""
    page.mouse.move(700, 400)
    page.mouse.down()
    page.evaluate("() => { window.ticks = []; const tick = now => { ticks.push(now); window.next = requestAnimationFrame(tick); };"
                  " requestAnimationFrame(tick); }")
    start, i = time.time(), 0
    while time.time() - start < seconds:
        i += 1
        page.mouse.move(700 + 200 * math.sin(i / 15), 400 + 120 * math.cos(i / 21))
    ticks = page.evaluate("() => { cancelAnimationFrame(next); return ticks; }")
    page.mouse.up()
    return 1000 * (len(ticks) - 1) / (ticks[-1] - ticks[0])


def run_page(options, page, work):
    path = os.path.join(options.keep or work, "map.html")
    start = time.time()
    page.write(path, picture_count=options.pictures, picture_side=64)
    result = {"write_seconds": time.time() - start, "bytes": os.path.getsize(path)}
    if shutil.which("chromium") is None:
        print("no chromium here (./run setup browser): nothing was measured in a browser", file=sys.stderr)
        return result
    python = environment("page", "playwright")
    loads = []
    for _ in range(options.rounds):
        printed = subprocess.run([python, "-B", os.path.abspath(__file__), "--browse", path, "--seconds", str(options.seconds)],
                                 check=True, stdout=subprocess.PIPE, text=True).stdout
        loads.append(json.loads(printed.splitlines()[-1]))
    for key in loads[0]:
        result[key] = float(np.median([load[key] for load in loads]))
    return result


# ---- TensorBoard ----

def run_tensorboard(options, page, work):
    folder = os.path.join(options.keep or work, "tensorboard")
    vectors = np.random.default_rng(2).standard_normal((options.points, 50)).astype(np.float32)
    start = time.time()
    page.write_projector(folder, vectors)
    seconds = time.time() - start
    sizes = {name: os.path.getsize(os.path.join(folder, name)) for name in sorted(os.listdir(folder))}
    return {"write_seconds": seconds, "files": len(sizes), "bytes": sum(sizes.values()), "sizes": sizes,
            "served": served(folder, options.points)}


def served(folder, points):
    """Whether TensorBoard's own server reads the folder and hands out what stands in it."""
    python = environment("tensorboard", "tensorboard", "setuptools<81")
    server = subprocess.Popen([python, "-m", "tensorboard.main", "--logdir", folder, "--port", "6117"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    base = "http://localhost:6117/data/plugin/projector/"

    def get(what):
        with urllib.request.urlopen(base + what, timeout=60) as answer:
            return answer.read()

    def file(name):
        with open(os.path.join(folder, name), "rb") as opened:
            return opened.read()

    try:
        for attempt in range(60):
            try:
                runs = json.loads(get("runs"))
                break
            except OSError:
                time.sleep(1)
        else:
            return "the server did not answer"
        assert runs == ["."], runs
        info = json.loads(get("info?run=."))["embeddings"]
        assert [entry["tensorName"] for entry in info] == ["vectors", "map"], info
        rows = min(points, SHOWN)
        for name, values in (("vectors", 50), ("map", 3)):
            tensor = get("tensor?run=.&name=%s&num_rows=%d" % (name, SHOWN))
            assert tensor == file(name + ".bytes")[:rows * values * 4], (name, len(tensor))
        metadata = get("metadata?run=.&name=map&num_rows=%d" % SHOWN)
        assert metadata.decode().splitlines() == file("metadata.tsv").decode().splitlines()[:rows + 1]
        assert get("sprite_image?run=.&name=map") == file("sprite.jpg")
        states = json.loads(get("bookmarks?run=.&name=map"))
        assert [len(state["projections"]) for state in states] == [rows, rows]
        return "TensorBoard hands out runs, tensors, metadata, sprite and bookmarks byte for byte"
    finally:
        server.terminate()
        server.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=444668)
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--only", choices=("page", "tensorboard"))
    parser.add_argument("--keep", metavar="FOLDER")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--browse", metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.browse:
        print(json.dumps(browse(options.browse, options.seconds)))
        return
    with tempfile.TemporaryDirectory() as work:
        page, what = build(options, work)
        results = {"points": options.points, "pictures": options.pictures, "what": what, "processor": platform.processor(),
                   "simd": imgsim.simd_name(), "threads": os.cpu_count()}
        if options.only != "tensorboard":
            results["page"] = found = run_page(options, page, work)
            print("page: %d points, %d pictures (%s)" % (options.points, options.pictures, what))
            print("  %.1f MB, written in %.1f s" % (found["bytes"] / 1e6, found["write_seconds"]))
            if "map-drawn" in found:
                print("  all points drawn after %.2f s, everything there after %.2f s" % (found["map-drawn"] / 1e3, found["map-complete"] / 1e3))
                print("  frames a second: %.0f panning over the whole map, %.0f close, %.0f turning in space"
                      % (found["pan"], found["pan close"], found["turn"]))
        if options.only != "page":
            results["tensorboard"] = found = run_tensorboard(options, page, work)
            print("TensorBoard: %d files, %.1f MB, written in %.1f s" % (found["files"], found["bytes"] / 1e6, found["write_seconds"]))
            print("  " + ", ".join("%s %.1f" % (name, size / 1e6) for name, size in found["sizes"].items()))
            print("  " + found["served"])
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
