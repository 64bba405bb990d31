# SPDX-License-Identifier: Apache-2.0
"""What the Python tests share: where data is, a small gallery, skipping."""

import os
import subprocess
import sys
import tempfile
import unittest

SOURCE = os.environ.get("IMGSIM_SOURCE") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
DATA = os.environ.get("IMGSIM_TEST_DATA") or os.path.join(SOURCE, "..", "shared", "data")


def data(*parts):
    """Path below the folder of real test data; skips the test where there is none."""
    path = os.path.join(DATA, *parts)
    if not os.path.exists(path):
        raise unittest.SkipTest("no %s" % path)
    return path


def module(name):
    """Import a package that only comparisons need; skips the test where it is missing."""
    try:
        return __import__(name)
    except ImportError:
        raise unittest.SkipTest("the Python package %s is not installed" % name) from None


def images(folder, limit=None):
    """Paths of all files below a folder, sorted."""
    found = sorted(os.path.join(where, name) for where, _folders, names in os.walk(folder) for name in names)
    return found[:limit]


def gallery(count=3):
    """A temporary folder with the project's own pictures: 20 families, `count` in each, and near-duplicates."""
    holder = tempfile.TemporaryDirectory(prefix="imgsim-python-")
    folder = os.path.join(holder.name, "gallery")
    subprocess.run([sys.executable, "-B", os.path.join(SOURCE, "examples", "gallery.py"), folder, str(count)], check=True)
    return holder, folder


def main():
    """Run the tests of the calling file; exit status 77 if all of them were skipped."""
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    result = program.result
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(77 if result.testsRun and len(result.skipped) == result.testsRun else 0)
