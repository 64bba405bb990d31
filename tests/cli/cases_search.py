# SPDX-License-Identifier: Apache-2.0
"""imgsim search: answers, ways to ask, filters, pages, and questions that cannot be answered."""

import os

import gallery
from harness import case, check


def gallery_of_families(place):
    gallery.draw_families(place.path("photos"))
    place.run("scan", "photos", "-q").exits(0)


def hits(result):
    answer = result.exits(0).json("imgsim.search/1")
    return [os.path.relpath(hit["path"], os.path.dirname(os.path.dirname(hit["path"]))) for hit in answer["hits"]]


def families(result):
    return [path.split("/")[0] for path in hits(result)]


@case
def search_answers(place):
    """The table, the table with parts, and JSON with every key of its schema."""
    gallery_of_families(place)
    place.expect("search", [
        place.run("search", "photos/rings/0.png"),
        place.run("search", "photos/discs/1.png", "-k", "3", "-v", "-q"),
        place.run("search", "photos/discs/1.png", "-k", "2", "--by", "color", "--metric", "color=intersection", "-v", "-q"),
        place.run("search", "photos/discs/1.png", "-k", "2", "--metric", "hash=jaccard", "-v", "-q"),
        place.run("search", "photos/discs/1.png", "-k", "1", "--json"),
    ])
    result = place.run("search", "photos/rings/0.png", "-k", "3", "--json", "--exact")
    check(families(result) == ["rings"] * 3, str(result))
    answer = result.json("imgsim.search/1")
    check(answer["queries"] == ["photos/rings/0.png"] and answer["k"] == 3 and answer["exact"] is True, str(answer))
    check(answer["images"] == 12 and answer["elapsed_ms"] >= 0, str(answer))
    for rank, hit in enumerate(answer["hits"], 1):
        check(hit["rank"] == rank and len(hit["id"]) == 36 and (hit["width"], hit["height"]) == (72, 64), str(hit))
        check(os.path.isabs(hit["path"]) and os.path.exists(hit["path"]) and 0 <= hit["score"] <= 1, str(hit))
        check(set(hit["parts"]) == {"color", "hash"}, str(hit))
        total = sum(part["weight"] * part["similarity"] for part in hit["parts"].values())
        check(abs(total - hit["score"]) < 1e-5, "the parts do not make the score: %s" % hit)
        check(abs(sum(part["weight"] for part in hit["parts"].values()) - 1) < 1e-6, str(hit))
    scores = [hit["score"] for hit in answer["hits"]]
    check(scores == sorted(scores, reverse=True), str(scores))
    # More than there is: everything but the query image itself.
    check(len(hits(place.run("search", "photos/rings/0.png", "-k", "100", "--json"))) == 11, "not all were found")
    own = hits(place.run("search", "photos/rings/0.png", "-k", "100", "--include-self", "--json"))
    check(len(own) == 12 and own[0] == "rings/0.png", str(own))


@case
def search_takes_any_image(place):
    """A file, a file that is not in the catalog, standard input, an id, a UUID: the same answer."""
    gallery_of_families(place)
    expected = hits(place.run("search", "photos/discs/0.png", "--json"))
    first = place.run("search", "photos/discs/1.png", "-k", "11", "--json").json("imgsim.search/1")
    same = [hit for hit in first["hits"] if hit["path"].endswith("discs/0.png")][0]
    with open(place.path("photos", "discs", "0.png"), "rb") as file:
        data = file.read()
    for result in (
        place.run("search", same["id"], "--json", "-c", "photos"),
        place.run("search", str(same["image"]), "--json", "-c", "photos"),
        place.run("search", "discs/0.png", "--json", cwd=place.path("photos")),
        place.run("search", place.path("photos/discs/0.png"), "--json"),
    ):
        check(hits(result) == expected, "another answer than %s:\n%s" % (expected, result))

    # Bytes are not looked up in the catalog: the picture itself comes first.
    result = place.run("search", "-", "-k", "6", "--json", "-c", "photos", data=data)
    check(hits(result) == ["discs/0.png"] + expected, "another answer than %s:\n%s" % (expected, result))

    # A new file, of which the catalog knows nothing.
    gallery.write(place.path("new.png"), gallery.png_bytes(72, 64, gallery.family_pixel("stripes", 2)))
    found = hits(place.run("search", "new.png", "-k", "1", "--json", "-c", "photos"))
    check(found[0].startswith("stripes/"), str(found))
    # A file of that name comes before the id.
    gallery.write(place.path(str(same["image"])), gallery.png_bytes(72, 64, gallery.family_pixel("stripes", 1)))
    found = hits(place.run("search", str(same["image"]), "-k", "2", "--json", "-c", "photos"))
    check(found[0].startswith("stripes/"), str(found))


@case
def search_several_images(place):
    """Weights, negatives and the ways to combine images and features."""
    gallery_of_families(place)
    both = ["search", "photos/discs/0.png", "photos/rings/0.png", "-k", "6", "--json"]
    found = families(place.run(*both, "--images", "best"))
    check(found.count("discs") == found.count("rings") == 3, str(found))
    for more in (["--images", "rrf"], ["--images", "best"], ["--fuse", "rrf"], ["--exact"], ["--by", "color"], ["--by", "color=0.5,hash=0.5"], ["--threads", "1"], ["--weight", "1,1"]):
        result = place.run(*both, *more)
        check(len(hits(result)) == 6, str(result))
    heavy = families(place.run(*both, "--weight", "20,1"))
    light = families(place.run(*both, "--weight", "1,20"))
    check(heavy[0] == "discs" and light[0] == "rings", "%s %s" % (heavy, light))
    negative = place.run("search", "photos/discs/0.png", "--not", "photos/rings/1.png", "-k", "3", "--json")
    check("rings" not in families(negative), str(negative))
    check(negative.json("imgsim.search/1")["queries"] == ["photos/discs/0.png", "photos/rings/1.png"], str(negative))
    # The order of two images of the same weight does not matter.
    check(hits(place.run(*both)) == hits(place.run("search", both[2], both[1], *both[3:])), "the order matters")
    place.run(*both, "--cascade").exits(2).says("imgsim pca")
    five = ["photos/discs/%d.png" % i for i in range(3)] + ["photos/rings/0.png", "photos/rings/1.png"]
    place.run("search", *five).exits(0)
    place.run("search", *five, "photos/rings/2.png").exits(2).says("6 images", "5")


@case
def search_filters(place):
    gallery_of_families(place)
    place.run("label", "folders", "-c", "photos").exits(0)
    only = place.run("search", "photos/discs/0.png", "--label", "rings", "--json", "-k", "20")
    check(families(only) == ["rings"] * 4 and only.json("imgsim.search/1")["images"] == 4, str(only))
    two = place.run("search", "photos/discs/0.png", "--label", "rings", "--label", "stripes", "--json", "-k", "20")
    check(sorted(set(families(two))) == ["rings", "stripes"] and len(families(two)) == 8, str(two))
    below = place.run("search", "photos/discs/0.png", "--under", "photos/stripes", "--json", "-k", "20")
    check(families(below) == ["stripes"] * 4, str(below))
    none = place.run("search", "photos/discs/0.png", "--under", "photos/stripes", "--label", "rings")
    none.exits(1).says("nothing found")
    check(none.out == b"", str(none))
    high = place.run("search", "photos/discs/0.png", "--min-score", "1").exits(1).says("nothing found", "--min-score")
    check(high.out == b"", str(high))
    empty = place.run("search", "photos/discs/0.png", "--min-score", "1", "--json").exits(1).json("imgsim.search/1")
    check(empty["hits"] == [], str(empty))
    some = place.run("search", "photos/discs/0.png", "--json", "-k", "20").json("imgsim.search/1")["hits"]
    least = some[3]["score"] - 1e-6
    fewer = place.run("search", "photos/discs/0.png", "--json", "-k", "20", "--min-score", "%.9f" % least)
    check(hits(fewer) == [os.path.relpath(hit["path"], place.path("photos")) for hit in some[:4]], str(fewer))


@case
def search_bad_input(place):
    """Files that are missing, unreadable or no pictures; names the catalog does not know."""
    gallery_of_families(place)
    whole = gallery.png_bytes(72, 64, gallery.family_pixel("discs", 5))
    gallery.write(place.path("empty.png"), b"")
    gallery.write(place.path("cut.png"), whole[: len(whole) // 2])
    gallery.write(place.path("text.jpg"), b"This is no picture.\n" * 20)

    def search(*words, **more):
        return place.run("search", *words, "-c", "photos", **more)

    search("nowhere.jpg").exits(5).says("nowhere.jpg", "no such file")
    search("photos").exits(5).says("photos")
    for name in ("empty.png", "cut.png", "text.jpg"):
        search(name).exits(2).says(name)
    search("-").exits(2).says("standard input is empty")
    search("-", data=b"This is no picture.\n" * 20).exits(2).says("standard input")
    search("4711").exits(2).says("4711")
    search("00000000-0000-4000-8000-000000000000").exits(2).says("no image with UUID")
    good = "photos/discs/0.png"
    search(good, "--by", "colour").exits(2).says("colour")
    search(good, "--by", "color=0").exits(2)
    search(good, "--by", "color=much").exits(2)
    search(good, "--by", "color,color").exits(2)
    search(good, "--metric", "color=euclid").exits(2).says("euclid")
    search(good, "--metric", "color=hamming").exits(2)
    search(good, "--by", "embedding").exits(2).says("embedding")
    search(good, "--label", "unicorn").exits(2).says("unicorn")
    search(good, "--under", "nowhere").exits(2).says("nowhere")
    if os.geteuid() != 0:
        os.chmod(place.path("photos", good[7:]), 0)
        search(good).exits(5).says("0.png")


@case
def search_writes_pages(place):
    """The contact sheet and the page are complete files, or an error."""
    gallery_of_families(place)
    query = ["search", "photos/rings/0.png", "-q"]
    place.run(*query, "--sheet", "hits.jpg", "--html", "hits.html").exits(0).prints("rings/1.png")
    with open(place.path("hits.jpg"), "rb") as file:
        data = file.read()
    check(data[:2] == b"\xff\xd8" and data[-2:] == b"\xff\xd9" and len(data) > 2000, "no JPEG")
    with open(place.path("hits.html"), encoding="utf-8") as file:
        page = file.read()
    check("</html>" in page and "1.png" in page and "data:image/" in page, "no page")
    for reference in ("http://", "https://", "src=\"file"):
        check("<script src" not in page and "src=\"" + reference not in page, "the page needs others")
    place.run(*query, "--sheet", "hits.png").exits(0)
    with open(place.path("hits.png"), "rb") as file:
        check(file.read(8) == b"\x89PNG\r\n\x1a\n", "no PNG")
    place.run(*query, "--sheet", "nowhere/hits.jpg").exits(5).says("nowhere/hits.jpg")
    place.run(*query, "--html", "nowhere/hits.html").exits(5).says("nowhere/hits.html")
    place.run(*query, "--sheet", "hits.doc").exits(2).says("hits.doc")
    # The sheet itself can be searched for.
    place.run("search", "hits.jpg", "-c", "photos").exits(0)
