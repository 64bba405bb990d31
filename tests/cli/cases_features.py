# SPDX-License-Identifier: Apache-2.0
"""Labels, export and import, projections and indexes, verify."""

import csv
import glob
import json
import os
import re
import shutil
import struct
import subprocess

import gallery
from harness import Skipped, case, check


def scan(place):
    gallery.draw_families(place.path("photos"))
    place.run("scan", "photos", "-q").exits(0)


def npy_bytes(kind, shape, data):
    sides = "(%s,)" % ", ".join(map(str, shape)) if len(shape) == 1 else "(%s)" % ", ".join(map(str, shape))
    header = "{'descr': '%s', 'fortran_order': False, 'shape': %s, }" % (kind, sides)
    header += " " * (63 - (10 + len(header)) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data


def read_npy(path):
    """(header, data) of a version 1 or 2 file."""
    with open(path, "rb") as file:
        whole = file.read()
    check(whole[:6] == b"\x93NUMPY", "no .npy file: %s" % path)
    size = struct.unpack("<H", whole[8:10])[0] if whole[6] == 1 else struct.unpack("<I", whole[8:12])[0]
    start = (10 if whole[6] == 1 else 12) + size
    return whole[start - size:start].decode(), whole[start:]


@case
def labels(place):
    scan(place)
    in_photos = ["-c", "photos"]
    place.expect("label", [
        place.run("label", "list", *in_photos),
        place.run("label", "add", "warm", "photos/discs/0.png", "photos/discs/1.png", *in_photos),
        place.run("label", "add", "größe", "photos/discs/0.png", *in_photos),
        place.run("label", "folders", *in_photos),
        place.run("label", "list", *in_photos),
        place.run("label", "list", "photos/discs/0.png", *in_photos),
        place.run("label", "remove", "warm", "photos/discs/0.png", *in_photos),
        place.run("label", "remove", "warm", "photos/discs/0.png", *in_photos),
        place.run("label", "list", "--json", *in_photos),
        place.run("label", "add", "cold", "photos/rings/0.png", "photos/nowhere.png", *in_photos),
        place.run("label", "add", "", "photos/rings/0.png", *in_photos),
        place.run("label", "add", "two\nlines", "photos/rings/0.png", *in_photos),
        place.run("label", "add", "x" * 256, "photos/rings/0.png", *in_photos),
    ])
    listed = place.run("label", "list", "--json", *in_photos).json("imgsim.labels/1")["labels"]
    check("cold" not in listed, "half a command was done: %s" % listed)
    # Found upwards from the image.
    place.run("label", "add", "far", "photos/rings/0.png").exits(0)


@case
def clusters(place):
    """Clusters by every method become labels that searches can be limited to; running again replaces them."""
    scan(place)
    in_photos = ["-c", "photos"]
    listed = place.run("label", "list", "--json", *in_photos).json("imgsim.labels/1")["labels"]
    answer = place.run("search", "photos/discs/0.png", "-k", "200", "--json", *in_photos).json("imgsim.search/1")
    ids = sorted(hit["image"] for hit in answer["hits"]) + []
    queries = place.run("search", "photos/discs/0.png", "-k", "200", "--include-self", "--json", *in_photos)
    images = {hit["image"]: hit["path"] for hit in queries.json("imgsim.search/1")["hits"]}
    kinds = sorted({os.path.basename(os.path.dirname(path)) for path in images.values()})
    check(len(ids) + 1 == len(images), "the query is no hit")
    rows = b"".join(struct.pack("<%df" % len(kinds), *(
        (kind == os.path.basename(os.path.dirname(images[image]))) + 0.001 * (image % 7) for kind in kinds))
        for image in sorted(images))
    gallery.write(place.path("rows.npy"), npy_bytes("<f4", (len(images), len(kinds)), rows))
    gallery.write(place.path("rows.ids.npy"), npy_bytes(
        "<i8", (len(images),), struct.pack("<%dq" % len(images), *sorted(images))))
    place.run("import", "kinds", "rows.npy", "--metric", "l2", *in_photos).exits(0)

    by = ["--feature", "kinds", *in_photos]
    for method, settings in (("kmeans", ["-k", str(len(kinds)), "--runs", "20"]), ("dbscan", ["--eps", "0.5", "--min-samples", "2"]),
                             ("hdbscan", ["--min-size", "2"]), ("agglomerative", ["-k", str(len(kinds))])):
        told = place.run("cluster", "--method", method, "--json", *settings, *by).json("imgsim.cluster/1")
        check(told["method"] == method and told["images"] == len(images), "%s" % told)
        check(len(told["clusters"]) == len(kinds), "%s found %d clusters" % (method, len(told["clusters"])))
        check(abs(told["ari"] - 1) < 1e-9, "ARI %s" % told["ari"])
        check(all(c["name"] == os.path.basename(os.path.dirname(c["medoid_path"])) for c in told["clusters"]),
              "names: %s" % told["clusters"])
        label = told["clusters"][0]["label"]
        hits = place.run("search", told["clusters"][0]["medoid_path"], "--label", label, "--json", *in_photos)
        check({os.path.basename(os.path.dirname(hit["path"])) for hit in hits.json("imgsim.search/1")["hits"]} ==
              {told["clusters"][0]["name"]}, "search within a cluster")
    table = place.run("cluster", "-k", "2", "--name", "two", *by).exits(0)
    check("cluster:two/0" in table.text_out and "2 clusters" in table.text_out, table.text_out)
    place.run("cluster", "-k", "3", "--name", "two", "--dry-run", *by).exits(0)
    now = place.run("label", "list", "--json", *in_photos).json("imgsim.labels/1")["labels"]
    check(sum(label.startswith("cluster:two/") for label in now) == 2, "%s" % now)
    place.run("cluster", "--remove", "two", *in_photos).exits(0)
    now = place.run("label", "list", "--json", *in_photos).json("imgsim.labels/1")["labels"]
    check(not any(label.startswith("cluster:two/") for label in now), "%s" % now)
    check(all(now[label] == listed[label] for label in listed), "other labels are left alone")

    place.run("cluster", "-k", "100000", *by).exits(2)
    place.run("cluster", "--feature", "hash", *in_photos).exits(2)
    place.run("cluster", "--feature", "nothing", *in_photos).exits(2)
    place.run("cluster", "--method", "kmean", *in_photos).exits(2)
    place.run("cluster", "--height", "1", *by).exits(2)
    place.run("cluster", "--name", "Not Good", *by).exits(2)
    place.run("cluster", "more", *by).exits(2)

    # Labels of half of the images predict those of the others.
    place.run("label", "--predict", *by).exits(2)
    for image in sorted(images)[::2]:
        place.run("label", "add", os.path.basename(os.path.dirname(images[image])), str(image), *in_photos).exits(0)
    told = place.run("label", "--predict", "--neighbours", "3", "--store", "--json", *by).json("imgsim.predictions/1")
    check(told["asked"] == len(images) // 2, "%s" % told)
    check(all(p["label"] in (None, os.path.basename(os.path.dirname(p["path"]))) for p in told["predictions"]),
          "%s" % told["predictions"])
    check(told["leave_one_out"]["right"] == told["leave_one_out"]["answered"] > 0, "%s" % told["leave_one_out"])
    now = place.run("label", "list", "--json", *in_photos).json("imgsim.labels/1")["labels"]
    check(sum(n for label, n in now.items() if label.startswith("predicted:")) == told["predicted"] > 0, "%s" % now)
    one = place.run("label", "--predict", str(sorted(images)[1]), "--neighbours", "3", "--try", "0", *by).exits(0)
    check(len(one.text_out.splitlines()) == 1, one.text_out)


@case
def labels_from_csv(place):
    """Header or not, quotes, CRLF; a bad line is named and nothing is imported."""
    scan(place)
    in_photos = ["-c", "photos"]
    answer = place.run("search", "photos/discs/0.png", "-k", "1", "--json").json("imgsim.search/1")
    uuid, image = answer["hits"][0]["id"], answer["hits"][0]["image"]

    def imported(text, *more):
        gallery.write(place.path("labels.csv"), text.encode() if isinstance(text, str) else text)
        return place.run("label", "import", "labels.csv", *in_photos, *more)

    def listed():
        return place.run("label", "list", "--json", *in_photos).json("imgsim.labels/1")["labels"]

    imported("photos/discs/0.png,plain\nphotos/discs/1.png,plain\n").exits(0)
    imported("path,label\r\nphotos/discs/0.png,\"with, comma\"\r\n").exits(0)
    imported("\ufefflabel,score,path\n\"say \"\"hi\"\"\",0.5,photos/discs/0.png\n\n").exits(0)
    imported("id,label\n%d,by id\n" % image).exits(0)
    imported("uuid,label\n%s,by uuid" % uuid).exits(0)
    expected = {"plain": 2, "with, comma": 1, "say \"hi\"": 1, "by id": 1, "by uuid": 1}
    check(listed() == expected, str(listed()))

    for text, line, word in (
        ("photos/discs/0.png,new\nphotos/nowhere.png,new\n", 2, "photos/nowhere.png"),
        ("path,label\nphotos/discs/0.png,new\nphotos/discs/0.png\n", 3, "columns"),
        ("path,label\nphotos/discs/0.png,new\nphotos/discs/0.png,\n", 3, "empty"),
        ("photos/discs/0.png,new\nphotos/discs/1.png,\"open\nand so on\n", 2, "quote"),
        ("photos/discs/0.png,\"two\nlines, one record\"\nphotos/discs/1.png,a\"b\n", 3, "quote"),
        ("photos/discs/0.png,\"new\"x\n", 1, "quote"),
        ("only\n", 1, "columns"),
        ("9999,new\n", 1, "9999"),
    ):
        imported(text).exits(2).says("labels.csv", "line %d" % line, word, "nothing was imported")
    imported(b"photos/discs/0.png,new\0x\n").exits(2).says("NUL")
    imported("").exits(2).says("no label")
    imported("path,label\n").exits(2).says("no label")
    check(listed() == expected, "a refused file changed something: %s" % listed())
    place.run("label", "import", "nowhere.csv", *in_photos).exits(5).says("nowhere.csv")
    place.run("label", "import", "photos", *in_photos).exits(2)


@case
def thumbnails(place):
    """Made by a scan, exported as files, of another size on request; a sheet shows pictures whose files are gone."""
    in_photos = ["-c", "photos"]
    gallery.draw_families(place.path("photos"))
    place.run("scan", "photos", "--no-thumbs", "--thumb-side", "64").exits(2).says("--no-thumbs")
    place.run("scan", "photos", "-q", "--no-thumbs").exits(0)
    place.run("export", "--thumbs", "small", *in_photos).exits(1).says("no thumbnails")
    place.run("scan", "photos", "-q").exits(0)
    place.run("export", "--thumbs", "small", *in_photos).exits(0)
    names = sorted(os.listdir(place.path("small")))
    check(names == sorted("%d.jpg" % i for i in range(12)), str(names))
    for name in names:
        data = open(place.path("small", name), "rb").read()
        check(data[:2] == b"\xff\xd8" and data[-2:] == b"\xff\xd9", "%s is no JPEG" % name)
    place.run("export", "--thumbs", "no/such", *in_photos).exits(5).says("no/such")
    place.run("scan", "photos", "-q", "--thumb-side", "32").exits(2).says("--replace")
    place.run("scan", "photos", "-q", "--thumb-side", "32", "--replace").exits(0)
    features = place.run("status", "--json", *in_photos).json("imgsim.status/1")["features"]
    check("side=32" in features["thumbnail"]["spec"], str(features["thumbnail"]))
    # Without being told, a later scan keeps that size.
    shutil.copy(place.path("photos", "discs", "0.png"), place.path("photos", "new.png"))
    place.run("scan", "photos", "-q").exits(0)

    place.run("export", "--thumbs", "small", *in_photos).exits(0)
    query = place.path("query.png")
    shutil.move(place.path("photos", "discs", "0.png"), query)
    shutil.rmtree(place.path("photos", "discs"))
    place.run("search", "query.png", "-k", "3", "--html", "page.html", "-q", *in_photos).exits(0)
    page = open(place.path("page.html")).read()
    check("no picture" not in page, "a vanished file shows nothing")
    check(page.count("data:image/jpeg") == 4, "expected four pictures")


@case
def import_export(place):
    scan(place)
    in_photos = ["-c", "photos"]
    place.run("label", "folders", "-q", *in_photos).exits(0)
    place.run("export", "--npy", "color", "color.npy", *in_photos).exits(0)
    place.run("export", "--npy", "hash", "hash.npy", *in_photos).exits(0).says("12 rows of hash in hash.npy")
    place.run("export", "--csv", "images.csv", *in_photos).exits(0).says("12 files in images.csv")
    place.run("export", "--npy", "hash", "hash.npy", "--csv", "images.csv", "-q", *in_photos).exits(0)
    header, data = read_npy(place.path("color.npy"))
    check("'<u4'" in header and "(12, 4096)" in header, header)
    check(len(data) == 12 * 4096 * 4, str(len(data)))
    check(sum(struct.unpack("<4096I", data[:16384])) == 72 * 64, "the histogram does not count every pixel")
    header, ids = read_npy(place.path("color.ids.npy"))
    check("'<i8'" in header and "(12,)" in header and len(ids) == 96, header)
    header, bits = read_npy(place.path("hash.npy"))
    check("'|u1'" in header and "(12, 8)" in header and len(bits) == 96, header)
    with open(place.path("images.csv"), newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    check(len(rows) == 12 and {row["labels"] for row in rows} == {"discs", "stripes", "rings"}, str(rows[:1]))
    check(all(os.path.exists(os.path.join(place.path("photos"), row["path"])) and row["state"] == "ok" for row in rows),
          str(rows[:1]))
    place.run("export", "--npy", "colour", "x.npy", *in_photos).exits(2).says("colour")
    place.run("export", "--npy", "color", "nowhere/x.npy", *in_photos).exits(5).says("nowhere/x.npy")
    place.run("export", "--csv", "nowhere/x.csv", *in_photos).exits(5).says("nowhere/x.csv")

    # Rows of one's own: found by its ids, or one row per id.
    numbers = struct.unpack("<12q", ids)
    values = b"".join(struct.pack("<3f", number, 1, -number) for number in numbers)
    gallery.write(place.path("own.npy"), npy_bytes("<f4", (12, 3), values))
    gallery.write(place.path("own.ids.npy"), npy_bytes("<i8", (12,), ids))
    place.run("import", "own", "own.npy", "--metric", "l2", "--spec", "mine", *in_photos).exits(0)
    place.run("export", "--npy", "own", "again.npy", *in_photos).exits(0)
    check(read_npy(place.path("again.npy"))[1] == values, "other rows came back")
    place.run("search", "0", "--by", "own", *in_photos).exits(0).prints("1.png")
    doubles = b"".join(struct.pack("<2d", number, 0.5) for number in numbers)
    gallery.write(place.path("wide.npy"), npy_bytes("<f8", (12, 2), doubles))
    place.run("import", "own", "wide.npy", *in_photos).exits(0)
    feature = place.run("status", "--json", *in_photos).json("imgsim.status/1")["features"]["own"]
    check((feature["dimension"], feature["metric"], feature["images"]) == (2, "cosine", 12), str(feature))
    gallery.write(place.path("few.npy"), npy_bytes("<f4", (2, 3), values[:24]))
    gallery.write(place.path("two.npy"), npy_bytes("<i8", (2,), ids[:16]))
    place.run("import", "own", "few.npy", "--ids", "two.npy", *in_photos).exits(0)
    feature = place.run("status", "--json", *in_photos).json("imgsim.status/1")["features"]["own"]
    check((feature["dimension"], feature["images"]) == (3, 2), "not replaced as a whole: %s" % feature)
    place.run("import", "bits", "hash.npy", *in_photos).exits(0)

    whole = npy_bytes("<f4", (12, 3), values)
    for name, data, word in (
        ("text", b"no numbers", "no .npy"), ("cut", whole[:100], "truncated"), ("lie", whole[:-4], "truncated"),
        ("nan", npy_bytes("<f4", (12, 3), values[:-4] + b"\0\0\xc0\x7f"), "row 11, column 2"),
        ("type", npy_bytes("<c8", (12, 3), values * 2), "<c8"), ("rank", npy_bytes("<f4", (2, 2, 9), values), "shape"),
        ("few", npy_bytes("<f4", (2, 3), values[:24]), "--ids"), ("none", npy_bytes("<f4", (0, 3), b""), "no rows"),
        ("order", whole.replace(b"False", b"True "), "Fortran"),
        ("huge", npy_bytes("<f4", (2 ** 62, 2 ** 62), b""), "truncated"),
    ):
        gallery.write(place.path("bad-%s.npy" % name), data)
        place.run("import", "bad", "bad-%s.npy" % name, *in_photos).exits(2).says("bad-%s.npy" % name, word)
    gallery.write(place.path("far.npy"), npy_bytes("<i8", (2,), struct.pack("<2q", 0, 99)))
    place.run("import", "bad", "few.npy", "--ids", "far.npy", *in_photos).exits(2).says("far.npy", "99")
    place.run("import", "bad", "few.npy", "--ids", "few.npy", *in_photos).exits(2).says("int64")
    place.run("import", "Bad Name", "few.npy", "--ids", "two.npy", *in_photos).exits(2)
    place.run("import", "bad", "nowhere.npy", *in_photos).exits(5).says("nowhere.npy")
    check("bad" not in place.run("status", "--json", *in_photos).json("imgsim.status/1")["features"], "something was stored")


@case
def pca_and_index(place):
    """A projection of imported rows, indexes of both, searches through them; stale ones are not used."""
    gallery.draw_families(place.path("photos"), 12)
    place.run("scan", "photos", "-q").exits(0)
    in_photos = ["-c", "photos"]
    rows = b"".join(struct.pack("<8f", *[((i + 1) * (j + 3) * 7919 % 101) / 101 + (i % 3) * (j == 0) for j in range(8)])
                    for i in range(36))
    gallery.write(place.path("rows.npy"), npy_bytes("<f4", (36, 8), rows))
    place.run("import", "own", "rows.npy", "-q", *in_photos).exits(0)
    place.expect("pca_and_index", [
        place.run("pca", "--feature", "own", "--dim", "4", *in_photos),
        place.run("pca", "--feature", "own", "--dim", "8", "--whiten", "0.5", "--normalize", "--name", "white", *in_photos),
        place.run("pca", "--feature", "own", "--dim", "9", *in_photos),
        place.run("pca", "--feature", "hash", "--dim", "4", *in_photos),
        place.run("pca", *in_photos),
        place.run("index", "--feature", "own-pca4", "--kind", "hnsw", *in_photos),
        place.run("index", "--feature", "own-pca4", "--kind", "hnsw", *in_photos),
        place.run("index", "--feature", "own", "--kind", "exact", "--metric", "l2", *in_photos),
        place.run("index", *in_photos),
        place.run("index", "--feature", "color", "--kind", "hnsw", *in_photos),
        place.run("index", "--feature", "nothing", *in_photos),
    ])
    study = place.run("pca", "--study", "8,2,4", "--feature", "own", "--plot", "study.svg", "--json", *in_photos)
    lines = study.exits(0).json("imgsim.pca-study/1")["lines"]
    check([line["components"] for line in lines] == [0, 8, 2, 4], str(lines))
    check(lines[0]["recall"] == 1.0 and lines[0]["precision"] is not None, str(lines[0]))
    with open(place.path("study.svg")) as file:
        drawn = file.read()
    check(drawn.startswith("<svg") and drawn.endswith("</svg>\n") and drawn.count("<polyline") == 3, drawn)
    kernel = place.run("pca", "--feature", "own", "--dim", "3", "--kernel", "rbf", "--landmarks", "20", "--json", *in_photos)
    check(kernel.exits(0).json("imgsim.pca/1")["feature"] == "own-kpca3", str(kernel))
    place.run("search", "0", "--by", "own-kpca3", *in_photos).exits(0)
    place.run("pca", "--feature", "own", "--dim", "3", "--kernel", "rbf", *in_photos).exits(2).says("1000 landmarks")
    place.run("pca", "--feature", "own", "--dim", "3", "--kernel", "rbf", "--gamma", "0", *in_photos).exits(2).says("gamma is 0")
    place.run("pca", "--feature", "own", "--kernel", "sigmoid", *in_photos).exits(2).says("sigmoid")
    place.run("pca", "--feature", "own", "--dim", "4", "--method", "auto", *in_photos).exits(0)
    table = place.run("pca", "--study", "2", "--feature", "own", *in_photos).exits(0)
    check(b"components" in table.out and b"recall@10" in table.out, str(table.out))
    place.run("pca", "--study", "2,x", *in_photos).exits(2).says("2,x")
    place.run("pca", "--plot", "a.svg", *in_photos).exits(2).says("--study")
    place.run("pca", "--study", "2", "--feature", "own", "--plot", "nowhere/a.svg", *in_photos).exits(5).says("nowhere")
    place.run("pca", "--study", "9", "--feature", "own", *in_photos).exits(2).says("9 components")

    made = place.run("pca", "--feature", "own", "--dim", "8", "--json", *in_photos).exits(0).json("imgsim.pca/1")
    shares = made["explained_variance_by_axis"]
    check(len(shares) == 8 and shares == sorted(shares, reverse=True), str(made))
    check(abs(made["explained_variance"] - 1) < 1e-6 and made["images"] == 36, str(made))
    index = place.run("index", "--feature", "own-pca4", "--kind", "hnsw", "--max-links", "8", "--build-width", "50",
                      "--search-width", "60", "--json", *in_photos).exits(0).json("imgsim.index/1")
    check((index["kind"], index["images"], index["dimension"]) == ("hnsw", 36, 4), str(index))

    def answer(*words):
        found = place.run("search", "0", "--by", "own", "-k", "5", "--json", *words, *in_photos).exits(0)
        return [hit["image"] for hit in found.json("imgsim.search/1")["hits"]]

    exact = answer("--exact")
    check(len(exact) == 5, str(exact))
    check(answer("--cascade=36") == exact, "the cascade over everything differs from the truth")
    check(answer("--double") == exact, "the double index over so few differs from the truth")
    indexes = place.run("status", "--json", *in_photos).json("imgsim.status/1")["indexes"]
    check(any(name.startswith("own-pca4.") for name in indexes), str(indexes))

    # New images: the next search counts them in, whatever is stored.
    gallery.write(place.path("photos", "new.png"), gallery.png_bytes(72, 64, gallery.family_pixel("discs", 1)))
    place.run("scan", "photos", "-q").exits(0)
    place.run("verify", *in_photos).exits(0)
    check(place.run("search", "photos/new.png", "-k", "1", "--by", "hash", "--json").exits(0), "no answer")


@case
def maps(place):
    """Tables and pictures of a map of rows of one's own; asked for again, the map is the same."""
    scan(place)
    in_photos = ["-c", "photos"]
    place.run("export", "--csv", "files.csv", *in_photos).exits(0)
    with open(place.path("files.csv"), newline="") as file:
        ids = [int(row["id"]) for row in csv.DictReader(file) if row["state"] == "ok"]
    rows = b"".join(struct.pack("<5f", i % 4, i % 3, (i * 7 % 11) / 11, 1, i / 40) for i in ids)
    with open(place.path("own.npy"), "wb") as file:
        file.write(npy_bytes("<f4", (len(ids), 5), rows))
    with open(place.path("own.ids.npy"), "wb") as file:
        file.write(npy_bytes("<i8", (len(ids),), struct.pack("<%dq" % len(ids), *ids)))
    place.run("map", "--png", "m.png", *in_photos).exits(2)  # nothing of float rows yet
    place.run("import", "own", "own.npy", *in_photos).exits(0)

    found = place.run("map", "--out", "m.npy", "--svg", "m.svg", "--png", "m.png", "--quality", "--json", "--feature", "own",
                      "--neighbours", "6", "--color", "folder", *in_photos).json("imgsim.map/1")
    check(found["images"] == len(ids) and found["layout"] == "umap" and found["dimensions"] == [2], found)
    check(0.5 < found["quality"]["trustworthiness"] <= 1, found)
    header, data = read_npy(place.path("m.npy"))
    check("(%d, 2)" % len(ids) in header, header)
    header, numbers = read_npy(place.path("m.ids.npy"))
    check(sorted(struct.unpack("<%dq" % len(ids), numbers)) == sorted(ids), "other ids")
    with open(place.path("m.svg")) as file:
        text = file.read()
    check(text.count("h0") == len(ids) and "discs" in text, text[:300])
    with open(place.path("m.png"), "rb") as file:
        check(file.read(8) == b"\x89PNG\r\n\x1a\n", "no PNG")

    for layout in ("umap", "tsne", "pca"):
        place.run("map", "--layout", layout, "--dim", "3", "--out", "m.csv", "--feature", "own", "--neighbours", "6",
                  "--threads", "1", *in_photos).exits(0)
        with open(place.path("m.csv"), newline="") as file:
            table = list(csv.DictReader(file))
        check(list(table[0]) == ["id", "x", "y", "z", "uuid", "path", "group"], list(table[0]))
        check([int(row["id"]) for row in table] == sorted(ids), "rows are missing")
        check(all(row["group"] == os.path.basename(os.path.dirname(row["path"])) for row in table), table[0])
    place.run("map", "--out", "again.npy", "--feature", "own", "--neighbours", "6", "--refresh", "--threads", "1",
              *in_photos).exits(0)
    check(read_npy(place.path("again.npy"))[1] == data, "another map with one thread")
    place.run("map", "--quality", "--feature", "hash", *in_photos).exits(2)
    # Where nothing is new, placing changes nothing; what it cannot do is refused.
    place.run("map", "--out", "again.npy", "--feature", "own", "--neighbours", "6", "--place", *in_photos).exits(0)
    check(read_npy(place.path("again.npy"))[1] == data, "images on the map were moved")
    place.run("map", "--out", "again.npy", "--place", "--refresh", *in_photos).exits(2).says("contradict")
    place.run("map", "--out", "again.npy", "--place", "--layout", "pca", *in_photos).exits(2).says("umap and tsne")
    map_page(place, len(ids))


def page_blocks(path):
    """The text of a page, what it says about itself, and the names of its blocks."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    meta = json.loads(re.search(r'id="d-meta">(.*?)</script>', text, re.S).group(1))
    return text, meta, re.findall(r'<script type="text/plain" id="d-([a-z0-9]+)">', text)


def map_page(place, count):
    """The page and what TensorBoard reads: coloured by label, cluster and prediction, with the figures that were asked for."""
    by = ["--feature", "own", "-c", "photos"]
    place.run("label", "folders", "-c", "photos").exits(0)
    place.run("cluster", "-k", "2", "--name", "two", *by).exits(0)
    place.run("map", "--out", "no.csv", "--color", "cluster:three", *by).exits(2).says("three", "two")
    place.run("map", "--out", "no.csv", "--color", "clusters", *by).exits(2).says("cluster")
    place.run("map", "--out", "no.csv", "--color", "predicted", *by).exits(2).says("label --predict")
    place.run("map", "--out", "c.csv", "--color", "cluster:two", "--neighbours", "6", *by).exits(0)
    with open(place.path("c.csv"), newline="") as file:
        check({row["group"] for row in csv.DictReader(file)} == {"0", "1"}, "other groups than the clusters")
    place.run("map", "--png", "c.png", "--svg", "c.svg", "--color", "cluster", "--neighbours", "6", *by).exits(0)

    told = place.run("map", "--out", "m.html", "--dim", "both", "--tensorboard", "board", "--folder", "tiles", "--pictures", "5",
                     "--title", "A <title>", "--quality", "--neighbours", "6", "--json", *by).exits(0).json("imgsim.map/1")
    check(told["dimensions"] == [2, 3] and told["page"] == "m.html" and told["tensorboard"] == "board", told)
    text, meta, found = page_blocks(place.path("m.html"))
    check("<script src" not in text and "http:" not in text.replace("http://www.w3.org", ""), "the page asks somebody")
    check(meta["count"] == count and meta["title"] == "A <title>", str(meta)[:400])
    check([column["title"] for column in meta["columns"]] == ["Label", "Cluster: two"], str(meta["columns"]))
    check(any(name.startswith("0") for name in meta["columns"][1]["names"]), str(meta["columns"]))
    figures = {figure["name"]: figure["value"] for figure in meta["figures"]}
    check(abs(figures["Trustworthiness"] - told["quality"]["trustworthiness"]) < 1e-6, str(figures))
    check({"Continuity", "Neighbours kept", "Silhouette (Cluster: two)", "Silhouette (Label)"} <= set(figures), str(figures))
    check("flat" in found and "deep" in found, sorted(found))
    check(os.path.exists(place.path("tiles", "000", "000.jpg")), "no tiles")

    with open(place.path("board", "projector_config.pbtxt")) as file:
        config = file.read()
    check("vectors.bytes" in config and "metadata.tsv" in config, config)
    check(os.path.getsize(place.path("board", "map.bytes")) == count * 3 * 4, "map.bytes has another size")
    check(os.path.getsize(place.path("board", "vectors.bytes")) == count * 5 * 4, "vectors.bytes has another size")
    with open(place.path("board", "metadata.tsv"), encoding="utf-8") as file:
        header, *lines = file.read().splitlines()
    check(len(lines) == count and "Label" in header and "Cluster: two" in header, header)
    check(os.path.exists(place.path("board", "sprite.jpg")), "no sprite")


@case
def dups(place):
    """Copies and near-duplicates as a table and as JSON."""
    scan(place)
    in_photos = ["-c", "photos"]
    place.run("dups", *in_photos).exits(1).says("no duplicates")
    check(place.run("dups", "--json", *in_photos).exits(1).json("imgsim.dups/1")["groups"] == [], "groups")
    for i in range(2):
        shutil.copy(place.path("photos", "discs", "0.png"), place.path("photos", "copy%d.png" % i))
    pixel = gallery.family_pixel("discs", 1)
    gallery.write(place.path("photos", "large.png"),
                  gallery.png_bytes(144, 128, lambda x, y: pixel(x // 2, y // 2)))
    place.run("scan", "photos", "-q").exits(0)
    lines = place.run("dups", *in_photos).exits(0).says("2 could go").text_out.splitlines()
    check(lines[0] == "3 images" and [line.split()[0] for line in lines[1:]] == ["first", "copy", "copy"], str(lines))

    found = place.run("dups", "--near=0", "--json", *in_photos).exits(0).json("imgsim.dups/1")
    check(found["near"] == 0 and found["duplicates"] == found["images"] - len(found["groups"]), str(found))
    group = next(g for g in found["groups"] if any(image["path"].endswith("large.png") for image in g))
    check(group[0]["path"].endswith("large.png") and group[0]["width"] == 144, str(group))
    check(any(image["path"].endswith("discs/1.png") and image["distance"] == 0 for image in group), str(group))
    copied = next(g for g in found["groups"] if any(image["path"].endswith("copy1.png") for image in g))
    check(sum(image["copy_of"] is not None for image in copied) == 2, str(copied))
    everything = place.run("dups", "--near=64", "--json", *in_photos).exits(0).json("imgsim.dups/1")
    check(len(everything["groups"]) == 1 and everything["images"] == 15, str(everything))
    check(place.run("dups", "--near", "--json", *in_photos).exits(0).json("imgsim.dups/1")["near"] == 4, "default")
    place.run("dups", "--near=65", *in_photos).exits(2).says("64 bits")
    place.run("dups", "--near", "--feature", "color", *in_photos).exits(2).says("color")
    place.run("dups", "--feature", "hash", *in_photos).exits(2)
    place.run("dups", "photos").exits(2)


@case
def verify_compares_files(place):
    scan(place)
    in_photos = ["-c", "photos"]
    place.run("verify", "--files", *in_photos).exits(0).says("no problem", "12 files 0 are gone, 0 changed")
    place.run("verify", "--files=content", "-q", *in_photos).exits(0)
    gone, rotten = place.path("photos", "discs", "0.png"), place.path("photos", "discs", "1.png")
    os.unlink(gone)
    info = os.stat(rotten)
    with open(rotten, "r+b") as file:
        file.seek(-20, os.SEEK_END)
        byte = file.read(1)
        file.seek(-20, os.SEEK_END)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(rotten, ns=(info.st_atime_ns, info.st_mtime_ns))
    place.run("verify", *in_photos).exits(0)
    place.run("verify", "--files", *in_photos).exits(6).prints("0.png: is gone").says("1 are gone, 0 changed, 0 damaged")
    report = place.run("verify", "--files=content", "--json", *in_photos).exits(6).json("imgsim.verify/1")
    files = report["files"]
    check((files["checked"], files["gone"], files["changed"], files["damaged"]) == (12, 1, 0, 1), str(report))
    check(report["sound"] and report["problems"] == [] and len(files["lines"]) == 2, str(report))
    check("files" not in place.run("verify", "--json", *in_photos).exits(0).json("imgsim.verify/1"), "unasked files")
    place.run("verify", "--files=all", *in_photos).exits(2)
    place.run("verify", "--files", "--repair", *in_photos).exits(2)


@case
def verify_finds_damage(place):
    scan(place)
    in_photos = ["-c", "photos"]
    rows = b"".join(struct.pack("<2f", i, 1) for i in range(12))
    gallery.write(place.path("rows.npy"), npy_bytes("<f4", (12, 2), rows))
    place.run("import", "own", "rows.npy", "-q", *in_photos).exits(0)
    place.run("index", "--feature", "own", "--kind", "hnsw", "-q", *in_photos).exits(0)
    sound = place.run("verify", *in_photos).exits(0).says("no problem")
    check(sound.out == b"", str(sound))
    check(place.run("verify", "--json", *in_photos).exits(0).json("imgsim.verify/1")["sound"] is True, "not sound")

    def damaged(path, data, word):
        with open(path, "rb") as file:
            whole = file.read()
        gallery.write(path, data(whole))
        result = place.run("verify", *in_photos).exits(4).prints(word)
        report = place.run("verify", "--json", *in_photos).exits(4).json("imgsim.verify/1")
        check(report["sound"] is False and len(report["problems"]) == len(result.text_out.splitlines()), str(report))
        gallery.write(path, whole)
        place.run("verify", *in_photos).exits(0)

    folder = place.path("photos", ".imgsim")
    damaged(os.path.join(folder, "features", "own.npy"), lambda whole: whole[:-8], "own")
    damaged(os.path.join(folder, "features", "own.npy"), lambda whole: b"\0" * len(whole), "own")
    for path in glob.glob(os.path.join(folder, "indexes", "*.ims")):
        damaged(path, lambda whole: whole[:-1], os.path.basename(path))
        damaged(path, lambda whole: whole[:100] + bytes([whole[100] ^ 1]) + whole[101:], os.path.basename(path))
    damaged(os.path.join(folder, "features", "hash.npy"), lambda whole: whole[:-3] + bytes([whole[-3] ^ 4]) + whole[-2:],
            "checksum")
    place.run("map", "--layout", "pca", "--feature", "own", "--out", "map.html", "-q", *in_photos).exits(0)
    for path in glob.glob(os.path.join(folder, "maps", "*.ims")):
        damaged(path, lambda whole: whole[:-2], os.path.basename(path))
    os.rename(os.path.join(folder, "features", "own.npy"), place.path("away.npy"))
    place.run("verify", *in_photos).exits(4).prints("own")
    place.run("search", "0", "--by", "own", "--exact", *in_photos).exits(4).says("own")

    report = place.run("verify", "--repair", "--json", *in_photos).exits(0).json("imgsim.repair/1")
    check(report["sound"] and report["features_dropped"] == 1 and report["changes"], str(report))
    place.run("verify", *in_photos).exits(0)
    place.run("verify", "--repair", *in_photos).exits(0).says("no problem")
    with open(os.path.join(folder, "catalog.db"), "r+b") as file:
        file.write(b"\xa5" * 4096)
    place.run("verify", *in_photos).exits(4)
    place.run("verify", "--repair", *in_photos).exits(0).prints("catalog.db.damaged")
    place.run("verify", *in_photos).exits(0)
    status = place.run("status", "--json", *in_photos).json("imgsim.status/1")
    check(status["images"] == 12 and status["features"]["color"]["images"] == 12, str(status))
    place.run("verify", "--repair", "-c", "nowhere").exits(3)
    os.makedirs(place.path("foreign"))
    gallery.write(place.path("foreign", "catalog.db"), b"not ours" * 100)
    place.run("verify", "--repair", "-c", "foreign").exits(4).says("not a catalog")
    with open(place.path("foreign", "catalog.db"), "rb") as file:
        check(file.read() == b"not ours" * 100, "a file of somebody else's was changed")


@case
def examples(place):
    """The example programs run, and say what they should."""
    scan(place)
    folder = os.path.dirname(place.command)

    def run(name, *words):
        path = os.path.join(folder, name)
        if not os.path.exists(path):
            raise Skipped("%s is not built" % name)
        done = subprocess.run([path, *words], cwd=place.folder, env=place.environment, capture_output=True, timeout=60)
        check(done.returncode == 0, "%s: %s" % (name, done))
        return done.stdout.decode()

    two = ["photos/rings/0.png", "photos/rings/1.png"]
    for metric in ("correlation", "bhattacharyya", "hamming"):
        check(metric in run("compare_two", *two), metric)
    check("similarity 1.0000" in run("compare_two", two[0], two[0]), "a picture is not like itself")
    check("photos/rings/1.png" in run("scan_and_search", "photos", two[0]), "no hit")
    check("distance 0.0000" in run("own_extractor", two[0], two[0]), "a picture is not like itself")
    check(" of the 10 true neighbours" in run("vector_index"), "no neighbours")
    check("4 axes hold" in run("project"), "no axes")
    check("photos/rings/1.png" in run("hits", "photos/.imgsim", two[0]), "no hit")
