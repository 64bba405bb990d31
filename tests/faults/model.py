#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""model.py [--seed S] N: N random operations on a folder, with rescans between; the catalog equals a model of it each time.

The model below knows only what docs/scanning.md says. It predicts for every path the state, the reason, the id, the UUID, the
labels and the content, and with the content the row of the perceptual hash; whatever differs is an error.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from pictures import png  # noqa: E402

try:
    import imgsim
except OSError as error:
    print("skipped: %s" % error)
    sys.exit(77)

PICTURES, NAMES, FOLDERS = 60, 25, 6


class Record:
    """What the catalog should know of a path."""

    def __init__(self, state, reason="", number=-1, uuid=None, content=None, labels=()):
        self.state, self.reason, self.id, self.uuid = state, reason, number, uuid
        self.content, self.labels = content, set(labels)


class Model:
    """The catalog as docs/scanning.md has it, over the files that are really there."""

    def __init__(self, judged):
        self.records, self.next_id = {}, 0
        self.times = {}  # path -> (size, time) at the last scan that looked at it
        self.judged = judged  # content -> (state, reason) of its own

    def scan(self, entries):
        """entries: path -> ("file", content, size, time) or (state, reason)."""
        gone = {}  # content -> records whose file is gone, in order of path
        for path in sorted(self.records):
            record = self.records[path]
            if path not in entries and record.id >= 0:
                gone.setdefault(record.content, []).append(path)
        for path in sorted(entries):
            if entries[path][0] == "file":
                self.look_at(path, entries[path], gone)
            else:
                self.note(path, *entries[path])
        for path in list(self.records):
            record = self.records[path]
            if path in entries:
                continue
            if record.id < 0 and "folder" in record.reason:
                del self.records[path]
            else:
                record.state, record.reason = "missing", ""
            self.times.pop(path, None)

    def note(self, path, state, reason):
        """What is no file: it has the path's UUID at most."""
        known = self.records.get(path)
        self.records[path] = Record(state, reason, uuid=known.uuid if known else None,
                                    labels=known.labels if known else ())
        self.times.pop(path, None)

    def look_at(self, path, entry, gone):
        _kind, content, size, when = entry
        known = self.records.get(path)
        if known and known.state != "missing" and self.times.get(path) == (size, when):
            return  # unchanged: not opened
        self.times[path] = (size, when)
        state, reason = self.judged[content]
        if state != "ok":
            self.records[path] = Record(state, reason, uuid=known.uuid if known else None,
                                        labels=known.labels if known else ())
        elif known and known.id >= 0 and known.content == content:
            known.state, known.reason = "ok", ""
        elif known is None and gone.get(content):
            old = gone[content].pop(0)
            record = self.records.pop(old)
            record.state, record.reason = "ok", ""
            self.records[path] = record
            self.times.pop(old, None)
        else:
            self.records[path] = Record("ok", "", self.next_id, known.uuid if known else None, content,
                                        known.labels if known else ())
            self.next_id += 1


class Folder:
    """The real folder, and random things done to it. Every write has a time of its own, as in life."""

    def __init__(self, root, rng, contents):
        self.root, self.rng, self.contents = root, rng, contents
        self.clock = 10**9
        for number in range(FOLDERS):
            os.makedirs(self.path("d%d" % number, "deep"))

    def path(self, *parts):
        return os.path.join(self.root, *parts)

    def files(self):
        return sorted(os.path.relpath(os.path.join(where, name), self.root)
                      for where, folders, names in os.walk(self.root)
                      for name in names + [f for f in folders if os.path.islink(os.path.join(where, f))])

    def new_name(self):
        where = self.rng.choice(["", "d%d" % self.rng.randrange(FOLDERS), "d%d/deep" % self.rng.randrange(FOLDERS)])
        return os.path.join(where, "%s.png" % self.rng.choice(["a", "b b", "\udcff", "é", "-", "z\n"]) +
                            str(self.rng.randrange(NAMES)))

    def stamp(self, path):
        self.clock += 1
        os.utime(path, (self.clock, self.clock))

    def write(self, name, content):
        path = self.path(name)
        if os.path.lexists(path):
            os.unlink(path)  # a hard link to it stays what it was
        with open(path, "wb") as file:
            file.write(self.contents[content])
        self.stamp(path)

    def step(self):
        rng, files = self.rng, self.files()
        name, other = self.new_name(), self.new_name()
        choice = rng.randrange(100)
        some = rng.choice(files) if files else None
        if choice < 25 or some is None:
            self.write(name, rng.choice(sorted(self.contents)))
        elif choice < 35:
            self.write(some, rng.choice(sorted(self.contents)))
        elif choice < 42:
            if not os.path.islink(self.path(some)):
                self.stamp(self.path(some))
        elif choice < 58:
            os.replace(self.path(some), self.path(name))
        elif choice < 66:
            if os.path.isfile(self.path(some)) and self.path(some) != self.path(name):
                if os.path.lexists(self.path(name)):
                    os.unlink(self.path(name))
                shutil.copyfile(self.path(some), self.path(name))
                self.stamp(self.path(name))
        elif choice < 72:
            if not os.path.lexists(self.path(name)) and not os.path.islink(self.path(some)):
                os.link(self.path(some), self.path(name))
        elif choice < 77:
            if not os.path.lexists(self.path(name)):
                os.symlink(rng.choice([self.path(some), "nowhere", self.path("d0"), self.path(name)]), self.path(name))
        elif choice < 90:
            os.unlink(self.path(some))
        elif choice < 95:
            twin = rng.choice(files)
            if twin != some:
                os.rename(self.path(some), self.path("swap"))
                os.rename(self.path(twin), self.path(some))
                os.rename(self.path("swap"), self.path(twin))
        elif choice < 98:
            old, new = "d%d" % rng.randrange(FOLDERS), "d%d" % rng.randrange(FOLDERS)
            if old != new:
                os.rename(self.path(old), self.path("swap"))
                os.rename(self.path(new), self.path(old))
                os.rename(self.path("swap"), self.path(new))
        else:
            where = self.path("d%d" % rng.randrange(FOLDERS), "deep")
            shutil.rmtree(where)
            os.makedirs(where)
        return other

    def entries(self, known):
        """What a scan sees. known: bytes -> content."""
        seen = {}
        for name in self.files():
            path = self.path(name)
            try:
                about = os.stat(path)
            except OSError as error:
                words = "Too many levels of symbolic links" if error.errno == 40 else "No such file or directory"
                seen[path] = ("failed", "broken link: " + words)
                continue
            if os.path.isdir(path):
                seen[path] = ("skipped", "link to a folder")
                continue
            with open(path, "rb") as file:
                seen[path] = ("file", known[file.read()], about.st_size, about.st_mtime_ns)
        return seen


def make_contents(rng):
    contents = {"p%02d" % i: png(rng.randrange(1 << 30), 24) for i in range(PICTURES)}
    contents.update(text=b"this is no picture", void=b"", cut=contents["p00"][:60])
    judged = {name: ("ok", "") for name in contents}
    judged.update(text=("skipped", "not an image"), void=("failed", "empty"), cut=("failed", "truncated"))
    return contents, judged


def compare(catalog, model, rows):
    """Every file of the catalog against the model; UUIDs that the model could not know are learned, and may not repeat."""
    files = {file.path: file for file in catalog.files()}
    assert set(files) == set(model.records), "paths: %r" % (set(files) ^ set(model.records))
    features = catalog.features("hash")
    taken = {record.uuid for record in model.records.values() if record.uuid}
    for path, record in model.records.items():
        file = files[path]
        assert (file.state, file.reason, file.id) == (record.state, record.reason, record.id), \
            "%r: %s, expected %s %r %d" % (path, file, record.state, record.reason, record.id)
        if record.id < 0:
            continue
        if record.uuid is None:
            assert file.uuid and file.uuid not in taken, "%r: the UUID is not new" % path
            record.uuid = file.uuid
            taken.add(file.uuid)
        assert file.uuid == record.uuid, "%r: another UUID" % path
        assert np.array_equal(features[file.id], rows[record.content]), "%r: another row" % path
        assert set(catalog.labels(file.id)) == record.labels, "%r: other labels" % path
    ids = [record.id for record in model.records.values() if record.id >= 0]
    assert len(ids) == len(set(ids)) and catalog.id_count == model.next_id
    states = {}
    for record in model.records.values():
        states[record.state] = states.get(record.state, 0) + 1
    assert {name: count for name, count in catalog.states.items() if count} == states


def run(root, seed, steps):
    rng = random.Random(seed)
    contents, judged = make_contents(rng)
    known = {data: name for name, data in contents.items()}
    extractor = imgsim.Extractor("hash")
    rows = {name: extractor.extract(data) for name, data in contents.items() if judged[name][0] == "ok"}
    folder, model, scans = Folder(os.path.join(root, "photos"), rng, contents), Model(judged), 0
    with imgsim.Catalog(os.path.join(root, "catalog"), create=True) as catalog:
        done = 0
        while done < steps:
            for _ in range(rng.randrange(1, 25)):
                folder.step()
                done += 1
            entries = folder.entries(known)
            report = catalog.scan([folder.root], color=False, threads=2)
            model.scan(entries)
            scans += 1
            assert report["seen"] == len(entries), report
            compare(catalog, model, rows)
            labelled = [record for record in model.records.values() if record.state == "ok" and not record.labels]
            if labelled and scans % 3 == 0:
                record = rng.choice(sorted(labelled, key=lambda r: r.id))
                record.labels.add("l%d" % scans)
                catalog.add_label(record.id, "l%d" % scans)
        assert catalog.verify() == []
    return done, scans


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("steps", type=int)
    arguments = parser.parse_args()
    print("seed", arguments.seed, flush=True)
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    root = os.path.realpath(tempfile.mkdtemp(prefix="imgsim-model-", dir=memory))
    try:
        done, scans = run(root, arguments.seed, arguments.steps)
        print("%d operations, %d scans: the catalog equals the model" % (done, scans))
        return 0
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
