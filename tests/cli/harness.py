# SPDX-License-Identifier: Apache-2.0
"""Runs the command in a folder of its own and compares what it says with files of expected output."""

import difflib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
CASES = {}


class Failed(Exception):
    """A check did not hold."""


class Skipped(Exception):
    """The case needs something that is not here."""


def case(function):
    CASES[function.__name__] = function
    return function


def check(condition, text):
    if not condition:
        raise Failed(text)


class Result:
    def __init__(self, words, status, out, err):
        self.words, self.status, self.out, self.err = words, status, out, err

    def __str__(self):
        return "imgsim %s\nexit %s\n--- stdout\n%s--- stderr\n%s" % (
            " ".join(map(repr, self.words)), self.status, self.text_out, self.text_err)

    @property
    def text_out(self):
        return self.out.decode("utf-8", "replace")

    @property
    def text_err(self):
        return self.err.decode("utf-8", "replace")

    def exits(self, status):
        check(self.status == status, "expected exit status %d:\n%s" % (status, self))
        return self

    def says(self, *words):
        """Standard error has one line, "imgsim: ...", with all of these words."""
        lines = self.text_err.splitlines()
        check(len(lines) == 1 and lines[0].startswith("imgsim: "), "expected one message:\n%s" % self)
        for word in words:
            check(word in lines[0], "expected the message to say %r:\n%s" % (word, self))
        return self

    def prints(self, *words):
        for word in words:
            check(word in self.text_out, "expected %r on standard output:\n%s" % (word, self))
        return self

    def json(self, schema):
        try:
            value = json.loads(self.out.decode("utf-8"))
        except ValueError as error:
            raise Failed("not JSON: %s\n%s" % (error, self))
        check(value["schema"] == schema, "expected schema %s:\n%s" % (schema, self))
        return value


class Place:
    """A temporary folder, and the command run in it."""

    def __init__(self, command, update):
        self.command, self.update = command, update
        self.folder = os.path.realpath(tempfile.mkdtemp(prefix="imgsim-cli-"))
        self.environment = {key: value for key, value in os.environ.items()
                            if key not in ("IMGSIM_CATALOG", "IMGSIM_MODEL")}
        self.environment["LC_ALL"] = "C.UTF-8"

    def close(self):
        for folder, _, _ in os.walk(self.folder):
            os.chmod(folder, 0o700)
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def run(self, *words, data=b"", cwd=None, env=None, timeout=120, **more):
        environment = dict(self.environment, **(env or {}))
        done = subprocess.run([self.command, *words], input=data, cwd=cwd or self.folder, env=environment,
                              capture_output=True, timeout=timeout, **more)
        return Result(words, done.returncode, done.stdout, done.stderr)

    def start(self, *words, **more):
        return subprocess.Popen([self.command, *words], cwd=self.folder, env=self.environment,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, **more)

    def has_torch(self):
        return self.run("version", "--json").json("imgsim.version/1")["torch"]

    # ---- expected output ----

    def normal(self, text):
        """Take out what differs from run to run: folders, UUIDs, times, sizes of thumbnails."""
        text = text.replace(self.folder, "<dir>")
        text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<uuid>", text)
        text = re.sub(r'("(?:elapsed_ms|seconds)": )[-0-9.e+]+', r"\1<time>", text)
        text = re.sub(r"[0-9.]+ ms\b", "<time> ms", text)
        # How small a JPEG is depends on the version of its encoder.
        text = re.sub(r"(thumbnail +.* images, )[0-9,]+ bytes", r"\1<size> bytes", text)
        return text

    def expect(self, name, results):
        """Compare with expected/NAME.txt, where each command is followed by exit status, output and messages."""
        lines = []
        for result in results:
            words = " ".join(self.normal(word) if re.fullmatch(r"[\w./,=:<>@%+-]+", self.normal(word)) else repr(word)
                             for word in result.words)
            lines.append("$ imgsim %s" % words)
            lines += self.normal(result.text_out).splitlines()
            lines += ["! " + line for line in self.normal(result.text_err).splitlines()]
            lines += ["= %d" % result.status, ""]
        found = "\n".join(lines)
        path = os.path.join(HERE, "expected", name + ".txt")
        if self.update:
            with open(path, "w", encoding="utf-8") as file:
                file.write(found)
            return
        with open(path, encoding="utf-8") as file:
            expected = file.read()
        if found != expected:
            difference = difflib.unified_diff(expected.splitlines(), found.splitlines(), path, "found", lineterm="")
            raise Failed("\n".join(difference))


def main():
    import argparse

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--command", required=True, help="the imgsim to test")
    parser.add_argument("--update", action="store_true", help="write the expected files anew")
    parser.add_argument("case", nargs="*", help="cases to run; all of them")
    arguments = parser.parse_args()
    worst = 0

    for name in arguments.case or CASES:
        place = Place(os.path.abspath(arguments.command), arguments.update)
        try:
            CASES[name](place)
            print("%s: passed" % name)
        except Skipped as reason:
            print("%s: skipped: %s" % (name, reason))
            worst = worst or 77
        except (Failed, subprocess.TimeoutExpired) as problem:
            print("%s: FAILED\n%s" % (name, problem))
            worst = 1
        finally:
            place.close()
    sys.exit(worst)
