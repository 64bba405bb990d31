# SPDX-License-Identifier: Apache-2.0
"""Which catalog is used, and catalogs that are missing, damaged or too new."""

import glob
import os
import shutil
import sqlite3

import gallery
from harness import case, check


@case
def catalog_is_found(place):
    """-c before or after the command, $IMGSIM_CATALOG, upwards from here, upwards from the query image."""
    gallery.draw_families(place.path("photos"))
    place.run("scan", "photos").exits(0)
    check(os.path.exists(place.path("photos", ".imgsim", "catalog.db")), "photos/.imgsim was not made")
    inside = place.path("photos", "discs")
    for result in [
        place.run("-c", "photos/.imgsim", "status"), place.run("status", "-c", "photos/.imgsim"),
        place.run("--catalog=photos", "status"), place.run("status", env={"IMGSIM_CATALOG": "photos/.imgsim"}),
        place.run("status", cwd=inside), place.run("status", cwd=place.path("photos")),
        place.run("search", "photos/discs/0.png"), place.run("search", "0.png", cwd=inside),
    ]:
        result.exits(0)
    place.run("status").exits(3).says("no catalog", "imgsim scan")
    # -c comes before the environment.
    place.run("status", "-c", "photos", env={"IMGSIM_CATALOG": "nowhere"}).exits(0)

    # A scan of a part goes to the catalog around it, one of a single file to that file's folder.
    place.run("scan", "discs", cwd=place.path("photos")).exits(0)
    check(not os.path.exists(place.path("photos", "discs", ".imgsim")), "a second catalog was made")
    os.mkdir(place.path("single"))
    shutil.copy(place.path("photos", "discs", "0.png"), place.path("single"))
    place.run("scan", "single/0.png").exits(0)
    check(os.path.exists(place.path("single", ".imgsim", "catalog.db")), "single/.imgsim was not made")

    # -c with the photos' own folder means the catalog in it.
    shutil.copytree(place.path("photos", "rings"), place.path("again"))
    place.run("scan", "again", "-c", "again").exits(0)
    check(os.path.exists(place.path("again", ".imgsim", "catalog.db")), "again/.imgsim was not made")
    check(not os.path.exists(place.path("again", "catalog.db")), "a catalog lies between the photos")

    # A catalog elsewhere, with paths that stay right.
    place.run("scan", "photos", "-c", "elsewhere").exits(0)
    place.run("search", "photos/discs/0.png", "-c", "elsewhere").exits(0).prints("photos/discs/1.png")


@case
def catalog_is_missing(place):
    gallery.draw_families(place.path("photos"), 1)
    for words in (["status"], ["status", "--failed"], ["verify"], ["pca"], ["index"], ["label", "list"], ["model"],
                  ["search", "photos/discs/0.ppm"], ["export", "--csv", "a.csv"], ["import", "x", "x.npy"]):
        place.run(*words).exits(3).says("no catalog", "-c")
        place.run(*words, "-c", "nowhere").exits(3).says("nowhere", "imgsim scan")
    check(not os.path.exists(place.path("nowhere")), "a catalog was made without a scan")


@case
def catalog_is_damaged(place):
    gallery.draw_families(place.path("photos"), 2)
    place.run("scan", "photos").exits(0)
    database = place.path("photos", ".imgsim", "catalog.db")
    for rest in glob.glob(database + "-*"):
        os.remove(rest)
    with open(database, "rb") as file:
        whole = file.read()

    # No database at all, half of one, and one whose pages are overwritten.
    for bad in (b"This is no database.\n" * 100, whole[: len(whole) // 2], whole[:200] + b"\xa5" * (len(whole) - 200)):
        gallery.write(database, bad)
        for words in (["status"], ["search", "photos/discs/0.png"], ["scan", "photos"]):
            result = place.run(*words, "-c", "photos").exits(4)
            check(result.text_err.startswith("imgsim: ") and result.out == b"", "no clear message:\n%s" % result)
        for rest in glob.glob(database + "-*"):
            os.remove(rest)
    gallery.write(database, whole)
    place.run("verify", "-c", "photos").exits(0)


@case
def catalog_is_newer(place):
    """A catalog of a later version is left alone."""
    gallery.draw_families(place.path("photos"), 2)
    place.run("scan", "photos").exits(0)
    database = sqlite3.connect(place.path("photos", ".imgsim", "catalog.db"))
    version = database.execute("PRAGMA user_version").fetchone()[0]
    database.execute("PRAGMA user_version = %d" % (version + 1000))
    database.commit()
    database.close()
    for words in (["status"], ["scan", "photos"], ["search", "photos/discs/0.png"], ["verify"]):
        place.run(*words, "-c", "photos").exits(3).says("version %d" % (version + 1000))
