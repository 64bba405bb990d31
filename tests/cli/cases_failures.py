# SPDX-License-Identifier: Apache-2.0
"""Models that are bad, a real network, outputs that cannot be written, disks that are full."""

import csv
import json
import os
import resource
import shutil
import signal
import struct
import subprocess

import gallery
from harness import Skipped, case, check


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@case
def models_that_are_bad(place):
    """Status 2, a message that names the file, and no catalog left behind."""
    gallery.draw_families(place.path("photos"), 1)
    tensor = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
    bad = {
        "empty": b"",
        "text": b"These are no weights.\n" * 10,
        "cut": safetensors({"a": tensor}, bytes(8)),
        "long": struct.pack("<Q", 1 << 60) + b"{}",
        "json": safetensors(b"{\"a\": ", bytes(16)),
        "shape": safetensors({"a": dict(tensor, shape=[2, 3])}, bytes(16)),
        "beyond": safetensors({"a": dict(tensor, data_offsets=[0, 1 << 40])}, bytes(16)),
        "negative": safetensors({"a": dict(tensor, shape=[-2, -2])}, bytes(16)),
        "other": safetensors({"a": tensor}, bytes(16)),
    }
    for name, data in bad.items():
        gallery.write(place.path(name + ".safetensors"), data)
        place.run("scan", "photos", "--model", name + ".safetensors").exits(2)
        place.run("model", name + ".safetensors").exits(2)
    gallery.write(place.path("pickle.pth"), b"PK\x03\x04" + bytes(100))
    place.run("scan", "photos", "--model", "pickle.pth").exits(2)
    place.run("scan", "photos", "--model", "nowhere.safetensors").exits(2)
    place.run("scan", "photos", env={"IMGSIM_MODEL": "nowhere.safetensors"}).exits(2)
    place.run("scan", "photos", "--model", "other.safetensors", "--architecture", "resnet5").exits(2).says("resnet50")
    check(not os.path.exists(place.path("photos", ".imgsim")), "a catalog was made")
    if place.has_torch():
        for name in bad:
            place.run("model", name + ".safetensors").says(name + ".safetensors")
        place.run("model", "nowhere.safetensors").says("nowhere.safetensors")
        place.run("model", "other.safetensors", "--sha256", "0" * 64).exits(2)
        place.run("model", "other.safetensors", "--sha256", "12").exits(2).says("64")
        place.run("model", "pickle.pth").exits(2).says("pickle.pth")


def data_folder():
    folder = os.environ.get("IMGSIM_TEST_DATA")
    if folder is None and "IMGSIM_SOURCE_DIR" in os.environ:
        folder = os.path.join(os.environ["IMGSIM_SOURCE_DIR"], "..", "shared", "data")
    if folder is None or not os.path.exists(os.path.join(folder, "README.md")):
        raise Skipped("the folder of real photos and networks is not here (IMGSIM_TEST_DATA)")
    return folder


def labels_from_the_network(place, total):
    """Classes of the last layer: kept by a scan when asked, by later ones without, and made labels of."""
    in_photos = ["-c", "photos"]
    by = ["--by", "network", *in_photos]
    place.run("label", "--predict", *by).exits(2).says("--classes")
    place.run("scan", "photos", "--classes", "-q").exits(0)
    status = place.run("status", "--json", *in_photos).json("imgsim.status/1")
    check(status["features"]["classes"]["images"] == status["features"]["embedding"]["images"] == total, str(status))
    place.run("search", "0", "--by", "classes", *in_photos).says("classes").exits(2)

    gallery.write(place.path("names.txt"), b"".join(b"thing %d\n" % i for i in range(1000)))
    gallery.write(place.path("few.txt"), b"a\nb\n")
    place.run("label", "--predict", *by).exits(2).says("--names")
    place.run("label", "--predict", "--names", "few.txt", *by).exits(2).says("2 lines", "1000 classes")
    place.run("label", "--predict", "--names", "nowhere.txt", *by).exits(2).says("nowhere.txt")
    place.run("label", "--predict", "--names", "names.txt", *in_photos).exits(2).says("--by network")
    told = place.run("label", "--predict", "--names", "names.txt", "--min-share", "0.3", "--store", "--json",
                     *by).exits(0).json("imgsim.predictions/1")
    check(told["asked"] == total and 0 < told["predicted"] < total and told["labels"] == 1000, str(told)[:500])
    sure = [p for p in told["predictions"] if p["label"] is not None]
    check(all(p["share"] > 0.3 and p["classes"][0] == {"label": p["label"], "probability": p["share"]} for p in sure), str(sure[:3]))
    check(all(len(p["classes"]) == 5 and 0 < sum(c["probability"] for c in p["classes"]) <= 1.0001
              for p in told["predictions"]), str(told["predictions"][:3]))
    label = "predicted:" + sure[0]["label"]
    found = place.run("search", str(sure[0]["image"]), "--label", label, "--include-self", "-k", "1000", "--json",
                      *in_photos).exits(0).json("imgsim.search/1")
    check(sorted(hit["image"] for hit in found["hits"]) == sorted(p["image"] for p in sure if "predicted:" + p["label"] == label),
          str(found)[:500])
    place.run("map", "--layout", "pca", "--out", "m.csv", "--color", "predicted", "-q", *in_photos).exits(0)
    with open(place.path("m.csv"), "rb") as file:
        check(file.read().count(sure[0]["label"].encode() + b"\r\n") >= len(found["hits"]), "no groups of predicted labels")

    # A picture that comes later gets classes without being asked for.
    shutil.copy(place.path("outside.jpg"), place.path("photos", "later.jpg"))
    place.run("scan", "photos", "-q").exits(0)
    status = place.run("status", "--json", *in_photos).json("imgsim.status/1")
    check(status["features"]["classes"]["images"] == total + 1, str(status))
    os.unlink(place.path("photos", "later.jpg"))
    place.run("scan", "photos", "-q").exits(0)
    gallery.draw_families(place.path("others"))
    place.run("scan", "others", "--classes", "-q").exits(2).says("--model")


def place_new_image(place, folder):
    """A new image goes onto the kept map, where all others stay to the bit."""
    maps = []
    shutil.copytree(os.path.join(folder, "images", "caltech101-20", "sunflower"), place.path("flowers"))
    os.rename(place.path("flowers", "image_0001.jpg"), place.path("new.jpg"))
    for more in ([], ["--place"]):
        place.run("scan", "flowers", "--model", "net.safetensors", "-q").exits(0)
        place.run("map", "-c", "flowers", "--out", "map.csv", *more).exits(0)
        with open(place.path("map.csv"), newline="") as file:
            maps.append({row["path"]: (row["x"], row["y"]) for row in csv.DictReader(file)})
        shutil.copy(place.path("new.jpg"), place.path("flowers", "new.jpg"))
    check(len(maps[1]) == len(maps[0]) + 1, "%d images, then %d" % (len(maps[0]), len(maps[1])))
    check(all(maps[1][path] == point for path, point in maps[0].items()), "images on the map were moved")


@case
def network(place):
    """Scan with a network, search by it, go on without naming it, and without its file."""
    folder = data_folder()
    if not place.has_torch():
        raise Skipped("the torch module is not built")
    classes = sorted(os.listdir(os.path.join(folder, "images", "caltech101-20")))[:4]
    for name in classes:
        shutil.copytree(os.path.join(folder, "images", "caltech101-20", name), place.path("photos", name))
    shutil.copy(os.path.join(folder, "models", "squeezenet1_1.safetensors"), place.path("net.safetensors"))
    total = sum(len(files) for _, _, files in os.walk(place.path("photos")))
    place.run("scan", "photos", "--model", "net.safetensors", "-q").exits(0)
    status = place.run("status", "--json", "-c", "photos").json("imgsim.status/1")
    check(status["features"]["embedding"]["images"] == total, str(status))
    place.run("scan", "photos").exits(0)

    model = place.run("model", "--json", "-c", "photos").exits(0).json("imgsim.model/1")
    check(model["present"] is True and model["dimension"] == 512 and "squeezenet1_1" in model["spec"], str(model))
    check(model["path"] == place.path("net.safetensors") and len(model["sha256"]) == 64, str(model))
    same = place.run("model", "net.safetensors", "--json").exits(0).json("imgsim.model/1")
    check(same["fingerprint"] == model["fingerprint"], "%s %s" % (same, model))
    place.run("model", "net.safetensors", "--sha256", model["sha256"]).exits(0)
    place.run("model", "net.safetensors", "--sha256", "0" * 64).exits(2)
    place.run("model", "net.safetensors", "--architecture", "resnet18").exits(2)

    query = os.path.join("photos", classes[0], sorted(os.listdir(place.path("photos", classes[0])))[0])
    found = place.run("search", query, "--json", "-k", "3").exits(0).json("imgsim.search/1")
    check(set(found["hits"][0]["parts"]) == {"embedding"}, str(found))
    place_new_image(place, folder)
    shutil.copy(place.path(query), place.path("outside.jpg"))
    with open(place.path("outside.jpg"), "ab") as file:
        file.write(b"\0")  # other bytes, the same picture
    outside = place.run("search", "outside.jpg", "--json", "-k", "1", "-c", "photos").exits(0).json("imgsim.search/1")
    check(outside["hits"][0]["path"] == place.path(query), str(outside))

    labels_from_the_network(place, total)
    os.rename(place.path("net.safetensors"), place.path("moved.safetensors"))
    shutil.copy(place.path("outside.jpg"), place.path("photos", "outside.jpg"))
    place.run("scan", "photos").exits(0)
    stale = place.run("scan", "photos", "-q").exits(0).says("embedding is not refreshed", "net.safetensors", "--model")
    check(stale.out == b"", str(stale))
    place.run("search", "outside.jpg", "-c", "photos", "--by", "embedding").exits(2)
    place.run("search", "outside.jpg", "-c", "photos", "--model", "moved.safetensors").exits(0)
    place.run("search", "outside.jpg", "-c", "photos", env={"IMGSIM_MODEL": "moved.safetensors"}).exits(0)
    place.run("scan", "photos", "--model", "moved.safetensors", "-q").exits(0)
    status = place.run("status", "--json", "-c", "photos").json("imgsim.status/1")
    check(status["features"]["embedding"]["images"] == total + 1, str(status))
    place.run("scan", "photos", "--model", "moved.safetensors", "--bf16").exits(2).says("embedding")


@case
def output_that_fails(place):
    """A full disk behind standard output is told; a reader that went away is not talked about."""
    gallery.draw_families(place.path("photos"), 2)
    place.run("scan", "photos", "-q").exits(0)
    for words in (["status"], ["status", "--json"], ["search", "photos/discs/0.png"], ["help"], ["version"]):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([place.command, *words, "-c", "photos"], cwd=place.folder, env=place.environment, stdout=full,
                                  stderr=subprocess.PIPE, timeout=60)
        check(done.returncode == 5 and b"No space left" in done.stderr, "%s: %s" % (words, done))
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run([place.command, *words, "-c", "photos"], cwd=place.folder, env=place.environment, stdout=writer,
                              stderr=subprocess.PIPE, timeout=60)
        os.close(writer)
        check(done.returncode == 5 and done.stderr == b"", "%s: %s" % (words, done))


@case
def disk_that_is_full(place):
    """A scan onto a full disk ends with 5, keeps what was committed, and goes on when there is room."""
    gallery.draw_families(place.path("photos"), 12)
    gallery.draw_many(place.path("photos", "large"), 8, side=300)

    def little_room():
        # As good as a full disk: no file may grow beyond 200 kB.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200000, 200000))

    # Shared memory counts as a file there, so that there are no workers.
    refused = place.run("scan", "photos", "-q", "-c", "catalog", preexec_fn=little_room)
    check(refused.status not in (0, 1) and "isolation" in refused.text_err, str(refused))
    result = place.run("scan", "photos", "-q", "-c", "catalog", "--isolation", "none", preexec_fn=little_room)
    check(result.status in (0, 5), str(result))
    full = place.run("export", "--npy", "color", "rows.npy", "-c", "catalog", preexec_fn=little_room)
    check(full.status in (3, 5), str(full))
    check(not os.path.exists(place.path("rows.npy")), "half a file was left")
    place.run("scan", "photos", "-q", "-c", "catalog").exits(0)
    place.run("verify", "-c", "catalog").exits(0)
    status = place.run("status", "--json", "-c", "catalog").json("imgsim.status/1")
    check(status["images"] == status["files"] == 44, str(status))

    # The real thing, where a small file system can be had.
    os.mkdir(place.path("small"))
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", place.path("small")], capture_output=True)
    if mounted.returncode != 0:
        print("disk_that_is_full: no small file system can be mounted here; tested with a limit on file sizes only")
        return
    try:
        # Ever more room, until the scan fits: each time it goes on, and what is stored is sound.
        filler, failures = 1950, 0
        while filler > 0:
            gallery.write(place.path("small", "filler"), bytes(1000 * filler))
            result = place.run("scan", "photos", "-q", "-c", "small/catalog")
            if result.status == 0:
                break
            result.exits(5)
            check("space" in result.text_err or "full" in result.text_err, "no word about space: %s" % result)
            failures += 1
            filler -= 100
        check(failures > 0 and filler > 0, "the scan failed %d times" % failures)
        place.run("verify", "-c", "small/catalog").exits(0)
        status = place.run("status", "--json", "-c", "small/catalog").json("imgsim.status/1")
        check(status["images"] == status["files"] == 44, str(status))
    finally:
        subprocess.run(["umount", place.path("small")], check=False)
