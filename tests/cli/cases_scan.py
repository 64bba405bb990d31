# SPDX-License-Identifier: Apache-2.0
"""imgsim scan and imgsim status."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import time

import gallery
from harness import Failed, case, check


def scanned(place, *more):
    return place.run("scan", "photos", "--json", *more)


@case
def scan_stores_and_resumes(place):
    """New files are added, unchanged ones not opened, changed ones refreshed, moved ones known again."""
    gallery.draw_families(place.path("photos"))
    first = scanned(place).exits(0)
    report = first.json("imgsim.scan/1")
    check((report["seen"], report["added"], report["images"], report["complete"]) == (12, 12, 12, True), str(first))
    place.expect("scan", [place.run("scan", "photos"), place.run("scan", "photos", "-q"),
                          place.run("status", "-c", "photos")])
    again = scanned(place).exits(0).json("imgsim.scan/1")
    check((again["unchanged"], again["added"], again["refreshed"], again["bytes"]) == (12, 0, 0, 0), str(again))

    gallery.write(place.path("photos", "discs", "0.png"), gallery.png_bytes(80, 64, gallery.family_pixel("rings", 9)))
    os.rename(place.path("photos", "discs", "1.png"), place.path("photos", "moved.png"))
    os.remove(place.path("photos", "discs", "2.png"))
    changed = scanned(place).exits(0).json("imgsim.scan/1")
    check((changed["refreshed"], changed["moved"], changed["missing"], changed["images"]) == (1, 1, 1, 11), str(changed))
    status = place.run("status", "--json", "-c", "photos").exits(0).json("imgsim.status/1")
    check(status["states"] == {"ok": 11, "missing": 1} and status["files"] == 12, str(status))


@case
def scan_tells_every_state(place):
    """Files that cannot be used are counted, listed with a reason, and fail the scan only with --strict."""
    gallery.draw_families(place.path("photos"), 2)
    whole = gallery.png_bytes(72, 64, gallery.family_pixel("discs", 5))
    gallery.write(place.path("photos", "empty.png"), b"")
    gallery.write(place.path("photos", "cut.png"), whole[: len(whole) // 2])
    gallery.write(place.path("photos", "text.jpg"), b"This is no picture.\n" * 20)
    gallery.write(place.path("photos", "notes.txt"), b"Nor is this.\n")
    gallery.write(place.path("photos", "large.png"), gallery.png_of_rows(500, 500, bytes(1501 * 500)))
    result = scanned(place, "--max-pixels", "100000").exits(0)
    report = result.json("imgsim.scan/1")
    check(report["added"] == 6 and report["failed"] + report["skipped"] == 5, str(result))
    place.run("scan", "photos", "--strict", "--recheck", "--max-pixels", "100000").exits(6)

    status = place.run("status", "--json", "-c", "photos").json("imgsim.status/1")
    check(sum(status["states"].values()) == status["files"] == 11, str(status))
    failed = place.run("status", "--failed", "--json", "-c", "photos").exits(0).json("imgsim.failed/1")
    check(failed["count"] == len(failed["files"]) == 5, str(failed))
    for file in failed["files"]:
        check(file["reason"] != "" and os.path.isabs(file["path"]), str(file))
    place.expect("status", [place.run("status", "-c", "photos"), place.run("status", "--failed", "-c", "photos")])


@case
def scan_without_images(place):
    os.mkdir(place.path("empty"))
    place.run("scan", "empty").exits(1)
    result = place.run("scan", "empty", "-q").exits(1).says("no images found in empty")
    check(result.out == b"", str(result))
    gallery.write(place.path("empty", "a.txt"), b"text")
    gallery.write(place.path("empty", "b.jpg"), b"")
    place.run("scan", "empty", "-q").exits(1).says("no images found")
    place.run("scan", "nowhere").exits(5).says("nowhere: No such file")
    place.run("scan", "empty", "nowhere").exits(5)
    check(not os.path.exists(place.path("nowhere")), "a catalog was made for a folder that is not there")


@case
def scan_options(place):
    """Settings of features are kept to; --replace changes them."""
    gallery.draw_families(place.path("photos"), 2)
    gallery.write(place.path("photos", ".hidden.png"), gallery.png_bytes(72, 64, gallery.family_pixel("discs", 7)))
    place.run("scan", "photos", "--bins", "8x8x4", "--color-space", "hsv", "--hash", "dhash", "--hash-bits", "256").exits(0)
    features = place.run("status", "--json", "-c", "photos").json("imgsim.status/1")["features"]
    check(features["color"]["dimension"] == 256 and features["hash"]["dimension"] == 256, str(features))
    place.run("scan", "photos").exits(2).says("color")
    place.run("scan", "photos", "--replace").exits(0)
    status = place.run("status", "--json", "-c", "photos").json("imgsim.status/1")
    check(status["features"]["color"]["dimension"] == 4096 and status["features"]["hash"]["dimension"] == 64, str(status))
    check(status["features"]["color"]["images"] == 6 and status["images"] == 6, str(status))
    scanned(place, "--hidden", "--full", "--threads", "1").exits(0)
    check(place.run("status", "--json", "-c", "photos").json("imgsim.status/1")["images"] == 7, "--hidden found nothing")
    os.mkdir(place.path("more"))
    os.symlink(place.path("photos", "discs"), place.path("more", "link"))
    place.run("scan", "more").exits(1)
    place.run("scan", "more", "--follow-links", "--no-hash").exits(0)


@case
def scan_leaves_out(place):
    """Patterns, sizes: counted under their reasons, and back again when the rules are gone."""
    gallery.draw_families(place.path("photos"), 2)
    gallery.write(place.path("photos", "discs", "icon.png"), b"tiny")
    gallery.write(place.path("photos", ".hidden.png"), b"tiny")
    scanned(place, "--include", "*.png", "--exclude", "rings/", "--exclude", "/discs/0*", "--min-bytes", "100").exits(0)
    states = place.run("status", "--json", "-c", "photos").json("imgsim.status/1")["states"]
    check(states["skipped:excluded folder"] == 1 and states["skipped:hidden"] == 1, str(states))
    check(states["skipped:too few bytes"] == 1 and states["skipped:excluded"] >= 1, str(states))
    failed = place.run("status", "--failed", "--json", "-c", "photos").json("imgsim.failed/1")
    check(sum(states.values()) - states["ok"] == failed["count"], str(failed))
    check({"excluded folder", "excluded", "too few bytes", "hidden"} <= {file["reason"] for file in failed["files"]},
          str(failed))
    scanned(place).exits(0)
    states = place.run("status", "--json", "-c", "photos").json("imgsim.status/1")["states"]
    check("skipped:excluded folder" not in states and "missing" not in states, str(states))
    place.run("scan", "photos", "--exclude", "[a").exits(2).says("pattern \"[a\"")
    place.run("scan", "fresh", "--include", "").exits(2).says("empty")
    check(not os.path.exists(place.path("fresh")), "a catalog was made for a wrong command line")


@case
def scan_isolation(place):
    """With workers, without, or as it comes: the same rows; without the worker program a message says what to do."""
    gallery.draw_families(place.path("photos"), 3)
    nowhere = {"IMGSIM_WORKER": "/nowhere/imgsim-worker"}
    for isolation in ("workers", "auto", "none"):
        place.run("scan", "photos", "-c", isolation, "--isolation", isolation, "--file-timeout", "2.5",
                  "--worker-memory", "512").exits(0)
    place.run("scan", "photos", "-c", "fallen", "--isolation", "auto", env=nowhere).exits(0)
    place.run("scan", "photos", "-c", "here", "--isolation", "none", env=nowhere).exits(0)
    place.run("scan", "photos", "-c", "refused", env=nowhere).exits(2).says("/nowhere/imgsim-worker", "isolation none")
    for name in ("color.bins.npy", "hash.npy"):
        rows = set()
        for catalog in ("workers", "auto", "none", "fallen", "here"):
            with open(place.path(catalog, "features", name), "rb") as file:
                rows.add(file.read())
        check(len(rows) == 1, "%s differs" % name)
    place.run("scan", "photos", "--isolation", "perhaps").exits(2).says("perhaps")
    place.run("scan", "photos", "--file-timeout", "0").exits(2).says("--file-timeout")
    place.run("scan", "photos", "--worker-memory", "1").exits(2).says("--worker-memory")


# Pictures whose scan takes seconds, so that it can be disturbed.
MANY = 1000


def wait_for_progress(process):
    """Until the scan has stored something, by its own words."""
    for line in process.stderr:
        words = line.split()
        if words[:1] == [b"scan"] and int(words[1].split(b"/")[0].replace(b",", b"")) > 0:
            return
    raise Failed("the scan ended before it said anything: exit %s" % process.wait())


@case
def scan_is_interrupted(place):
    """Ctrl-C ends with 130 and says how to go on; the next scan goes on; a third finds nothing to do."""
    gallery.draw_many(place.path("photos"), MANY)
    process = place.start("scan", "photos", "--threads", "1", "--progress")
    wait_for_progress(process)
    process.send_signal(signal.SIGINT)
    try:
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    check(process.returncode == 130, "exit status %s, expected 130: %s" % (process.returncode, err))
    check(b"interrupted; run the same command again to go on" in err, "no word about going on: %s" % err)

    place.run("verify", "-c", "photos").exits(0)
    kept = place.run("status", "--json", "-c", "photos").json("imgsim.status/1")
    check(kept["images"] < MANY, "the scan was not interrupted")
    report = scanned(place).exits(0).json("imgsim.scan/1")
    check(report["images"] == MANY and report["unchanged"] == kept["images"], "%s after %s" % (report, kept))
    check(report["added"] == MANY - kept["images"], "images were decoded again: %s" % report)
    check(scanned(place).json("imgsim.scan/1")["unchanged"] == MANY, "the third scan did something")


@case
def progress_for_programs(place):
    """--progress=json: an object per line on standard error, of one schema, to the end of the work."""
    gallery.draw_many(place.path("photos"), 60)
    gallery.write(place.path("photos", "broken.jpg"), b"\xff\xd8\xff broken")
    size = sum(os.path.getsize(place.path("photos", name)) for name in os.listdir(place.path("photos")))
    result = place.run("scan", "photos", "--threads", "1", "-q", "--progress=json").exits(0)
    events = [json.loads(line) for line in result.text_err.splitlines()]
    keys = {"schema", "phase", "done", "total", "failed", "bytes", "total_bytes", "elapsed_seconds", "rate",
            "bytes_per_second", "remaining_seconds"}
    check(events and all(set(event) == keys for event in events), "other keys:\n%s" % result)
    check(all(event["schema"] == "imgsim.progress/1" for event in events), "another schema")
    scan = [event for event in events if event["phase"] == "scan"]
    check([event["done"] for event in scan] == sorted(event["done"] for event in scan), "done goes back")
    last = scan[-1]
    check(last["done"] == last["total"] == 61 and last["failed"] == 1, str(last))
    check(last["total_bytes"] == last["bytes"] == size, "%s, the files have %d bytes" % (last, size))
    check(last["remaining_seconds"] == 0 and last["rate"] > 0 and last["bytes_per_second"] > 0, str(last))
    place.run("scan", "photos", "--progress=xml").exits(2).says("--progress", "xml", "json")


@case
def progress_on_a_terminal(place):
    """One line that is rewritten, on a terminal only, and taken away before anything else is said."""
    gallery.draw_many(place.path("photos"), 60)
    silent = place.run("scan", "photos", "-c", "elsewhere").exits(0)
    check(b"\r" not in silent.err and len(silent.err.splitlines()) == 2, "progress without a terminal:\n%s" % silent)

    def on_terminal(kind):
        screen, terminal = pty.openpty()
        environment = dict(place.environment, TERM=kind)
        process = subprocess.Popen([place.command, "scan", "photos", "--threads", "1", "--recheck", "-c", kind], cwd=place.folder,
                                   env=environment, stderr=terminal, stdout=subprocess.DEVNULL)
        os.close(terminal)
        text = b""
        try:
            while True:
                part = os.read(screen, 65536)
                if not part:
                    break
                text += part
        except OSError:
            pass  # how the end of a pseudo-terminal is told
        os.close(screen)
        check(process.wait() == 0, "exit %s: %r" % (process.returncode, text))
        return text

    text = on_terminal("xterm")
    check(re.search(rb"\rscan  \d+/60  .*\x1b\[K", text), "no progress: %r" % text)
    last = text.rsplit(b"\r\x1b[K", 1)[-1]
    check(last.startswith(b"imgsim: 60 files seen: 60 added\r\n"), "the line was not taken away: %r" % text)
    check(b"\x1b" not in on_terminal("dumb"), "escapes on a dumb terminal")


@case
def scan_twice_at_once(place):
    """The second scan ends with 3 and names the process of the first; the first does not notice."""
    gallery.draw_many(place.path("photos"), MANY)
    process = place.start("scan", "photos", "--threads", "1", "--progress")
    try:
        wait_for_progress(process)
        place.run("scan", "photos").exits(3).says(str(process.pid))
        place.run("label", "folders", "-c", "photos")  # refused or not: it must not disturb
        place.run("status", "-c", "photos").exits(0)
        time.sleep(0.1)
        _, err = process.communicate(timeout=120)
        check(process.returncode == 0, "the first scan ended with %s: %s" % (process.returncode, err))
    finally:
        process.kill()
    check(place.run("status", "--json", "-c", "photos").json("imgsim.status/1")["images"] == MANY, "images are missing")
    place.run("verify", "-c", "photos").exits(0)


@case
def odd_names(place):
    """Names with line ends, escapes, invalid UTF-8, dashes and backslashes are stored, found and shown safely."""
    os.mkdir(place.path("photos"))
    names = [b"line\nend.png", b"esc\x1b[31mred.png", b"bad\xff\xfe.png", b"-dash.png", b"back\\slash.png", b"c1\xc2\x9b.png",
             b"sp ace.png", "größe-日本.png".encode()]
    for number, name in enumerate(names):
        data = gallery.png_bytes(72, 64, gallery.family_pixel("rings", number))
        gallery.write(os.path.join(place.path("photos").encode(), name), data)
    shutil.copy(os.path.join(place.path("photos").encode(), names[0]), os.path.join(place.path("photos").encode(), b"cut\x1b\xff\n.png"))
    with open(os.path.join(place.path("photos").encode(), b"cut\x1b\xff\n.png"), "r+b") as file:
        file.truncate(60)
    place.run("scan", "photos").exits(0)

    for result in (place.run("search", os.path.join(b"photos", names[0]), "-k", "20"), place.run("status", "--failed", "-c", "photos"),
                   place.run("search", b"photos/no\x1b\xff\nsuch", "-c", "photos")):
        for text in (result.out, result.err):
            check(b"\x1b" not in text and b"\xff" not in text and b"\xc2\x9b" not in text, "unsafe output: %r" % text)
    table = place.run("search", os.path.join(b"photos", names[0]), "-k", "20", "--include-self").exits(0)
    for shown in ("line\\nend.png", "esc\\x1b[31mred.png", "bad\\xff\\xfe.png", "-dash.png", "back\\\\slash.png", "c1\\xc2\\x9b.png",
                  "sp ace.png", "größe-日本.png"):
        table.prints(shown)
    answer = place.run("search", os.path.join(b"photos", names[0]), "-k", "20", "--json", "--include-self").json("imgsim.search/1")
    found = set()
    for hit in answer["hits"]:
        path = bytes.fromhex(hit["path_bytes"]) if "path_bytes" in hit else hit["path"].encode()
        check(os.path.exists(path), "no such file: %r" % path)
        found.add(os.path.basename(path))
    check(found == set(names), str(found))
    # By its name alone, and after "--".
    place.run("search", "--", "-dash.png", cwd=place.path("photos")).exits(0)
    place.run("search", names[2], cwd=place.path("photos")).exits(0)
