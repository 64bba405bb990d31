# SPDX-License-Identifier: Apache-2.0
"""Where a graph is the better choice than exact search: time of one query and until ready, over the number of rows.

usage: ./run bench exact --part choice [--choice 512:1000,10000,100000,444668] [--plot FILE.svg] [--json FILE]
       tests/bench/choice.py --plot FILE.svg JSON...

Rows are lifelike ones (lifelike.py) of 512, 64 and 8 values, made in memory block by block; both indexes are ours, cosine, k = 10. The graph
has max_links 16 and build_width 200; its search_width is the least of a list that finds 99 % of the ten nearest of 300 queries. Ready means
rows added and planes or graph made. Queries come one at a time, 100 of each index in turn, and the table has medians. Beyond GRAPH_MOST
values in all rows no graph is made: it would take longer than anybody waits here.

The second form draws the curves of several runs, since each size may be run alone: --choice 64:10000000.
"""

import argparse
import json
import time

import numpy as np

import lifelike

K = 10
RECALL = 0.99
WIDTHS = (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096)
DEFAULT = "512:1000,10000,100000,444668;64:1000,10000,100000,1000000,2000000,10000000;8:10000,50000,100000,200000"
GRAPH_MOST = 260000000
AT_ONCE = 8 * lifelike.BLOCK
TURNS, TURN = 6, 100


def batches(source, count):
    for first in range(0, count, AT_ONCE):
        yield np.concatenate([rows for _, rows, _ in source.blocks(first // lifelike.BLOCK, min(AT_ONCE, count - first))])


def fill(indexes, source, count):
    """All rows into each index; seconds each took until it was ready."""
    seconds = {name: 0.0 for name in indexes}
    query = source.block(lifelike.QUERY_BLOCK, 1)[0]
    for rows in batches(source, count):
        for name, index in indexes.items():
            start = time.perf_counter()
            index.add(rows)
            seconds[name] += time.perf_counter() - start
    for name, index in indexes.items():
        start = time.perf_counter()
        index.search(query, K)  # makes the planes
        seconds[name] += time.perf_counter() - start
    return seconds


def recall(found, truth):
    return float(np.mean([len(np.intersect1d(a, b)) for a, b in zip(found, truth)])) / K


def tune(graph, queries, truth):
    """The least width that finds enough, what it finds, and what the default finds."""
    usual = recall(graph.search(queries, K)[0], truth)
    for width in WIDTHS:
        found = recall(graph.search(queries, K, search_width=width)[0], truth)
        if found >= RECALL:
            break
    return width, found, usual


def take_turns(searches, queries):
    """Median milliseconds of one query by each."""
    times = {name: [] for name in searches}
    for turn in range(TURNS):
        part = queries[turn * TURN % len(queries):][:TURN]
        for name, search in (list(searches.items()), list(searches.items())[::-1])[turn % 2]:
            for query in part:
                start = time.perf_counter()
                search(query[None])
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: float(np.median(found)) for name, found in times.items()}


def measure(dimension, count, threads):
    import imgsim
    source = lifelike.Source(dimension)
    queries = source.block(lifelike.QUERY_BLOCK, 1000)[0]
    indexes = {"exact": imgsim.Index(dimension, "cosine", "exact", threads, max_bytes=1 << 40)}
    if count * dimension <= GRAPH_MOST:
        indexes["graph"] = imgsim.Index(dimension, "cosine", "hnsw", threads, max_links=16, build_width=200)
    line = {"dimension": dimension, "rows": count, "ready": fill(indexes, source, count)}
    start = time.perf_counter()
    truth = indexes["exact"].search(queries[:300], K)[0]
    line["batch_ms"] = 1e3 * (time.perf_counter() - start) / 300
    searches = {"exact": lambda query: indexes["exact"].search(query, K)}
    if "graph" in indexes:
        width, line["recall"], line["recall_by_default"] = tune(indexes["graph"], queries[:300], truth)
        line["search_width"] = width
        searches["graph"] = lambda query: indexes["graph"].search(query, K, search_width=width)
    line["ms"] = take_turns(searches, queries[300:])
    return line


def show(line):
    graph = ""
    if "graph" in line["ms"]:
        graph = "graph %8.3f ms, ready %8.2f s, width %4d, recall %.3f (%.3f by default)" % (
            line["ms"]["graph"], line["ready"]["graph"], line["search_width"], line["recall"], line["recall_by_default"])
    print("%9d x %-4d exact %8.3f ms, in batches %7.3f, ready %8.2f s   %s" % (
        line["rows"], line["dimension"], line["ms"]["exact"], line["batch_ms"], line["ready"]["exact"], graph), flush=True)


def run(arguments):
    lines = []
    for case in (arguments.choice or DEFAULT).split(";"):
        dimension, counts = case.split(":")
        for count in counts.split(","):
            lines.append(measure(int(dimension), int(count), arguments.threads))
            show(lines[-1])
    if arguments.plot:
        plot(lines, arguments.plot)
    return lines


# ---- curves ----

WIDTH, HEIGHT, LEFT, TOP, GAP = 420, 300, 60, 30, 90
COLOURS = {512: "#1f5fa8", 64: "#b3541e", 8: "#3c7a3c"}


def axis(values):
    """Powers of ten around the values, as exponents."""
    logarithms = np.log10(values)
    return int(np.floor(logarithms.min())), int(np.ceil(logarithms.max()))


def panel(lines, key, title, offset):
    """One plot, both axes logarithmic: exact solid, graph dashed, a colour per dimension."""
    points = [(line["rows"], name, line["dimension"], line[key][name]) for line in lines for name in line[key]]
    x_low, x_high = axis([point[0] for point in points])
    y_low, y_high = axis([point[3] for point in points])

    def place(rows, value):
        return (offset + (np.log10(rows) - x_low) / (x_high - x_low) * WIDTH,
                TOP + HEIGHT - (np.log10(value) - y_low) / (y_high - y_low) * HEIGHT)

    out = ['<text x="%d" y="18" font-size="14">%s</text>' % (offset, title)]
    for power in range(x_low, x_high + 1):
        x = place(10.0 ** power, 10.0 ** y_low)[0]
        out.append('<path d="M%.1f %dV%d" stroke="#ddd"/><text x="%.1f" y="%d" text-anchor="middle">%s</text>' % (
            x, TOP, TOP + HEIGHT, x, TOP + HEIGHT + 18, format(10 ** power, ",")))
    for power in range(y_low, y_high + 1):
        y = place(10.0 ** x_low, 10.0 ** power)[1]
        out.append('<path d="M%d %.1fH%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%g</text>' % (
            offset, y, offset + WIDTH, offset - 6, y + 4, 10.0 ** power))
    for name, dimension in sorted({(name, dimension) for _, name, dimension, _ in points}):
        curve = sorted(place(rows, value) for rows, n, d, value in points if (n, d) == (name, dimension))
        style = 'stroke="%s" fill="none" stroke-width="2"%s' % (
            COLOURS.get(dimension, "#444"), ' stroke-dasharray="6 4"' if name == "graph" else "")
        out.append('<path d="M%s" %s/>' % ("L".join("%.1f %.1f" % point for point in curve), style))
        out += ['<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>' % (x, y, COLOURS.get(dimension, "#444")) for x, y in curve]
        above = name == "exact"
        out.append('<text x="%.1f" y="%.1f" text-anchor="%s" fill="%s">%s, %d</text>' % (
            curve[-1][0], curve[-1][1] + (-8 if above else 16), "end" if above else "start", COLOURS.get(dimension, "#444"),
            name, dimension))
    return out


def plot(lines, path):
    second = LEFT + WIDTH + GAP
    body = panel(lines, "ms", "One query, ms", LEFT) + panel(lines, "ready", "Until ready, seconds", second)
    with open(path, "w") as file:
        file.write('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11">\n'
                   '<rect width="100%%" height="100%%" fill="#fff"/>\n%s\n</svg>\n' % (
                       second + WIDTH + 70, TOP + HEIGHT + 30, "\n".join(body)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--plot", required=True)
    parser.add_argument("files", nargs="+", help="written by --json")
    arguments = parser.parse_args()
    lines = {}
    for name in arguments.files:
        with open(name) as file:
            for line in json.load(file)["parts"]["choice"]:
                lines[line["dimension"], line["rows"]] = line
    for key in sorted(lines, reverse=True):
        show(lines[key])
    plot([lines[key] for key in sorted(lines)], arguments.plot)


if __name__ == "__main__":
    main()
