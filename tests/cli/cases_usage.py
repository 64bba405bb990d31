# SPDX-License-Identifier: Apache-2.0
"""Wrong usage, help texts, suggestions: nothing here needs a picture."""

import os
import re

from harness import case, check

COMMANDS = ["scan", "search", "pca", "index", "map", "cluster", "label", "dups", "export", "import", "status", "verify", "model", "version",
            "help"]


@case
def usage(place):
    """Every wrong command line ends with status 2 and one line that says what is wrong."""
    words = [
        [], ["--frobnicate"], ["-x"], ["-c"],
        ["scan"], ["scan", "--bins", "1", "."], ["scan", "--bins", "8x8", "."], ["scan", "--hash-bits", "100", "."],
        ["scan", "--no-color", "--no-hash", "."], ["scan", "--threads", "many", "."], ["scan", "--full=1", "."],
        ["scan", "--batch", "0", "."], ["scan", "--color-space", "cmyk", "."],
        ["search"], ["search", "-k", "0", "a.jpg"], ["search", "-k", "-5", "a.jpg"], ["search", "-k", "1e3", "a.jpg"],
        ["search", "-k", "100001", "a.jpg"], ["search", "-k"], ["search", "a", "b", "c", "d", "e", "f"],
        ["search", "a", "b", "c", "--not", "d", "--not", "e", "--not", "f"], ["search", "-", "-"],
        ["search", "a", "b", "--weight", "1"], ["search", "a", "--weight", "1,2"], ["search", "a", "--weight", "0"],
        ["search", "a", "--weight", "x"], ["search", "a", "--min-score", "2"], ["search", "a", "--min-score", "nan"],
        ["search", "a", "--exact", "--double"], ["search", "a", "--by", ""], ["search", "a", "--fuse", "median"],
        ["pca", "--dim", "0"], ["pca", "--whiten", "2"], ["pca", "extra"],
        ["index", "--kind", "flat"], ["index", "--metric", "cosin"], ["index", "--max-links", "1"], ["index", "extra"],
        ["map"], ["map", "extra"], ["map", "--dim", "4"], ["map", "--folder", "tiles"], ["map", "--out", "m.html", "--side", "8"],
        ["label"], ["label", "add", "cat"], ["label", "import"], ["label", "frob"], ["label", "list", "a", "b"],
        ["export"], ["export", "--npy", "color"], ["export", "--npy", "color", "out.txt"], ["export", "--csv", "a", "b"],
        ["import"], ["import", "name"], ["import", "name", "a.npy", "--metric", "none"],
        ["status", "photos"], ["verify", "photos"], ["model", "a", "b"], ["version", "x"], ["help", "a", "b"],
    ]
    results = [place.run(*line) for line in words]
    for result in results:
        result.exits(2)
        check(result.out == b"", "nothing should be on standard output:\n%s" % result)
        check(result.text_err.count("\n") == 1, "expected one line:\n%s" % result)
    place.expect("usage", results)


@case
def help(place):
    """Help fits a terminal of 24 x 80, begins with examples, and names nothing that is not offered."""
    texts = [place.run("help"), place.run("--help"), place.run("-h")]
    for command in COMMANDS:
        texts.append(place.run("help", command))
        same = place.run(command, "--help").exits(0)
        check(same.out == texts[-1].out, "help %s and %s --help differ" % (command, command))
    check(texts[0].out == texts[1].out == texts[2].out, "the three ways to the overview differ")

    for text in texts:
        text.exits(0)
        lines = text.text_out.splitlines()
        check(1 <= len(lines) <= 24, "%d lines:\n%s" % (len(lines), text))
        check(max(map(len, lines)) <= 80, "a line is too long:\n%s" % text)
        check(lines[0].startswith("imgsim "), "no example at the top:\n%s" % text)
        check(text.err == b"", "nothing should be on standard error:\n%s" % text)
        spoken = set(text.text_out.lower().replace("-", " ").split())
        for word in ("ivf", "ivfpq"):
            check(word not in spoken, "%s is named but not offered:\n%s" % (word, text))
    for command in COMMANDS:
        check("\n  %s " % command in texts[0].text_out, "%s is missing in the overview" % command)
    place.expect("help", texts[:1] + texts[3:])


def manual_sections(texts):
    """The part of the manual page that says what `imgsim help COMMAND` says."""
    out = []
    for command, text in texts:
        lines = [line.replace("\\", "\\e").replace("-", "\\-") for line in text.splitlines()]
        lines = ["\\&" + line if line[:1] in (".", "'") else line for line in lines]
        out += [".SS %s" % command, ".nf", *lines, ".fi"]
    return "\n".join(out) + "\n"


@case
def options(place):
    """Every option of every command stands in its help, in docs/command.md and in the manual page."""
    source = os.environ["IMGSIM_SOURCE_DIR"]
    with open(os.path.join(source, "docs", "command.md"), encoding="utf-8") as file:
        reference = file.read()
    texts = [(command, place.run("help", command).exits(0).text_out) for command in COMMANDS if command != "help"]
    for command, text in texts:
        with open(os.path.join(source, "examples", "cli", "cmd_%s.c" % command), encoding="utf-8") as file:
            table = re.findall(r'\{"([a-z0-9-]+)", (?:0|\'(.)\'), CLI_', file.read())
        for name, letter in table:
            for where, told in (("its help", text), ("docs/command.md", reference)):
                check(re.search("--%s(?![a-z-])" % name, told) or (letter and "-" + letter in told),
                      "%s --%s does not stand in %s" % (command, name, where))

    path = os.path.join(source, "docs", "imgsim.1")
    with open(path, encoding="utf-8") as file:
        manual = file.read()
    begin, end = '.\\" From here on what "imgsim help COMMAND" says:\n', '.\\" Up to here.\n'
    check(manual.count(begin) == manual.count(end) == 1, "the manual page lacks its two marks")
    before, rest = manual.split(begin)
    after = rest.split(end)[1]
    wanted = before + begin + manual_sections(texts) + end + after
    if place.update:
        with open(path, "w", encoding="utf-8") as file:
            file.write(wanted)
    else:
        check(manual == wanted, "the manual page says something else than the help; 'cli_test.py --update options' writes it")


@case
def suggestions(place):
    """What is nearly right gets a suggestion; what is not offered is refused."""
    for words, suggested in [
        (["serach", "a.jpg"], "search"), (["sacn", "."], "scan"), (["labels"], "label"), (["stat"], "status"),
        (["scan", "--treads", "2", "."], "--threads"), (["search", "a", "--min-scor", "1", "--exat"], "--exact"),
        (["search", "a", "--fuse", "rff"], "rrf"), (["scan", "--hash", "phahs", "."], "phash"),
        (["scan", "--color-space", "hvs", "."], "hsv"), (["index", "--kind", "hnws"], "hnsw"),
        (["label", "lits"], "label list"), (["help", "serach"], "search"),
        (["index", "--metric", "cosin"], "cosine"),
    ]:
        place.run(*words).exits(2).says(suggested)
    for word in ("frobnicate",):
        place.run(word).exits(2).says("unknown command '%s'" % word, "imgsim help")
        place.run(word, "--out", "x").exits(2).says("unknown command")
        place.run("help", word).exits(2).says("unknown command")
    for kind in ("ivf", "ivfpq"):
        place.run("index", "--kind", kind).exits(2).says(kind)
    # Options are found before and after operands, "--" ends them, and --version works everywhere.
    place.run("--version").exits(0).prints("imgsim ")
    place.run("scan", "--version").exits(0).prints("imgsim ")
    place.run("search", "--", "--json").exits(3).says("no catalog")
