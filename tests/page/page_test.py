# SPDX-License-Identifier: Apache-2.0
"""Pages in a real browser: headless Chromium, driven by Playwright. Skipped, with status 77, where one of them is missing.

usage: page_test.py [--shots FOLDER] [TEST...]      --shots keeps a picture of the page after each test

Needs Debian's chromium and the Python package playwright, in this Python or in the environment that ./run setup browser makes.
"""

import os
import shutil
import sys
import tempfile
import unittest

import numpy as np

import imgsim

HERE = os.path.dirname(os.path.abspath(__file__))
SHOTS = None
COUNT = 1200
GROUPS = ["cat", "dog", "horse", "</script><script>alert(1)</script>", "\u202egpj.exe", "\"quotes\" & 'more'"]


def skip(why):
    print("skipped: %s" % why)
    sys.exit(77)


def with_playwright():
    """Go on in the environment that ./run setup browser makes, if playwright is there and not here."""
    try:
        import playwright  # noqa: F401
        return
    except ImportError:
        pass
    python = os.environ.get("IMGSIM_BROWSER_PYTHON") or os.path.join(HERE, "..", "..", "build", "browser", "bin", "python")
    if os.environ.get("IMGSIM_PAGE_TEST") or not os.path.exists(python):
        skip("the Python package playwright is missing; ./run setup browser")
    os.environ["IMGSIM_PAGE_TEST"] = "1"
    os.execv(python, [python, "-B"] + sys.argv)


def chromium():
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        skip("chromium is missing; ./run setup browser")
    return path


# ---- pages to look at ----

def thumbnails(folder):
    """JPEGs of six colours: thumbnails of a little catalog."""
    os.makedirs(folder)
    colours = [(200, 40, 40), (40, 160, 60), (50, 80, 200), (220, 180, 40), (150, 60, 180), (90, 90, 90)]
    for i, colour in enumerate(colours):
        with open(os.path.join(folder, "%d.ppm" % i), "wb") as file:
            file.write(b"P6 48 36 255\n" + bytes(colour) * (48 * 36))
    with imgsim.Catalog(os.path.join(folder, ".imgsim"), create=True) as catalog:
        catalog.scan([folder], threads=1)
        return [bytes(catalog.thumbnail(i)) for i in range(len(colours))]


def rows_of(count, seed=3):
    """Six clouds in three dimensions, and which each row is of."""
    rng = np.random.default_rng(seed)
    group = np.arange(count) % 6
    centres = rng.standard_normal((6, 3)) * 4
    return (centres[group] + rng.standard_normal((count, 3)) * 0.6).astype(np.float32), group


def odd_paths(group, folder):
    """Paths of all kinds; bytes that are no UTF-8 among them."""
    paths = [os.fsencode(folder) + b"/%s/IMG_%05d.jpg" % (b"abcdef"[g:g + 1], i) for i, g in enumerate(group)]
    odd = [b"</script><script>alert(1)</script>.jpg", b"\"quotes\" & 'more' <b>.jpg", b"\xe2\x80\xaegnp.exe", b"\xff\xfe no utf8 \xc3.jpg",
           b"line\nbreak\ttab.jpg", b"-->", "Gr\u00f6\u00dfe \u732b.jpg".encode(), b"100%25 #?&.jpg"]
    for i, name in enumerate(odd):
        paths[i * 11] = os.fsencode(folder) + b"/odd/" + name
    return paths


def write_pages(folder):
    """The large page, with everything; the same with tiles; one of five points; one with nothing but positions."""
    rows, group = rows_of(COUNT)
    pictures = thumbnails(os.path.join(folder, "thumbs"))
    flat, deep = imgsim.Map(rows, layout="pca", dim=2), imgsim.Map(rows, layout="pca", dim=3)
    order = np.argsort(((rows[:, None, :] - rows[None, :, :]) ** 2).sum(2), axis=1)[:, 1:7].astype(np.uint32)
    content = dict(
        also=deep, paths=odd_paths(group, folder), columns={"Cluster": group, "Label": [GROUPS[g] for g in group]},
        dates=np.where(np.arange(COUNT) % 9 == 0, np.nan, 1.5e9 + np.arange(COUNT) * 86400.0), neighbours=order,
        figures={"trustworthiness": (0.9731, "1 is best"), "</script>": 0.5}, pictures=lambda place: pictures[group[place]])
    # One real file, to be shown from the disk.
    real = content["paths"][0]
    os.makedirs(os.path.dirname(real), exist_ok=True)
    content["paths"][1] = os.path.join(os.fsencode(folder), b"b", b"\xff real.jpg")
    os.makedirs(os.path.dirname(content["paths"][1]), exist_ok=True)
    with open(content["paths"][1], "wb") as file:
        file.write(pictures[1])
    flat.write_page(os.path.join(folder, "all.html"), title="Test <b>map</b>", picture_count=400, **content)
    flat.write_page(os.path.join(folder, "tiles.html"), picture_count=60, tiles_folder=os.path.join(folder, "tiles"), **content)
    five = imgsim.Map(rows[:5], layout="pca", dim=2)
    five.write_page(os.path.join(folder, "five.html"), paths=content["paths"][:5])
    deep.write_page(os.path.join(folder, "bare.html"))
    return group


class Pages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        from playwright.sync_api import sync_playwright
        cls.holder = tempfile.TemporaryDirectory(prefix="imgsim-pages-")
        cls.group = write_pages(cls.holder.name)
        cls.playwright = sync_playwright().start()
        cls.browser = cls.playwright.chromium.launch(executable_path=chromium(), args=[
            "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"])

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()
        cls.playwright.stop()
        cls.holder.cleanup()

    def setUp(self):
        self.context = self.browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
        self.page = self.context.new_page()
        self.errors, self.requests = [], []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        # A picture that is not on the disk is no fault of the page.
        self.page.on("console", lambda line: self.errors.append(line.text)
                     if line.type in ("error", "warning") and "ERR_FILE_NOT_FOUND" not in line.text and "GPU stall" not in line.text else None)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("dialog", lambda dialog: self.errors.append("a dialog: " + dialog.message))

    def tearDown(self):
        if SHOTS:
            os.makedirs(SHOTS, exist_ok=True)
            self.page.screenshot(path=os.path.join(SHOTS, self.id().split(".")[-1] + ".png"))
        self.context.close()
        self.assertEqual(self.errors, [])
        self.assertEqual([url for url in self.requests if not url.startswith(("file:", "data:", "blob:"))], [])

    def open(self, name, fragment=""):
        self.page.goto("file://%s/%s%s" % (self.holder.name, name, fragment))
        self.page.wait_for_selector("html[data-state=complete]", state="attached", timeout=60000)
        self.page.wait_for_timeout(400)

    def text(self, selector):
        return self.page.inner_text(selector)

    def colours(self, box=(320, 0, 900, 720)):
        """How many pixels of the map have each colour."""
        shot = self.page.screenshot(clip=dict(zip(("x", "y", "width", "height"), box)))
        return colours_of(shot)

    def on_the_map(self):
        """Coordinates of something: the middle of the first coloured spot of the window."""
        for y in range(100, 700, 24):
            for x in range(340, 1200, 24):
                self.page.mouse.move(x, y)
                self.page.wait_for_timeout(30)
                if "pointing" in (self.page.get_attribute("#stage", "class") or ""):
                    return x, y
        self.fail("nothing to point at")

    # -- what it shows --

    def test_everything_is_drawn(self):
        self.open("all.html")
        self.assertEqual(self.text("#title"), "Test <b>map</b>")
        self.assertIn("1,200 images", self.text("#about"))
        entries = self.page.locator("#legend li")
        self.assertEqual(entries.count(), 6)
        self.assertIn("200", entries.nth(0).inner_text())
        self.assertGreater(len(self.colours()), 8)
        self.assertEqual(self.page.locator("script").count(), 2, "the data must leave the document")

    def test_a_page_of_five_points(self):
        self.open("five.html")
        self.assertIn("5 images", self.text("#about"))
        self.assertTrue(self.page.is_hidden("#t-dims"))
        x, y = self.on_the_map()
        self.page.mouse.click(x, y)
        self.page.wait_for_selector("#side:not([hidden])")

    def test_a_page_of_positions_alone(self):
        self.open("bare.html")
        self.assertTrue(self.page.is_hidden("#t-dims"))
        self.page.keyboard.press("2")
        self.assertIn("only a map in space", self.text("#hint"))
        self.page.mouse.move(760, 380)
        self.page.mouse.down()
        self.page.mouse.move(860, 420, steps=4)
        self.page.mouse.up()

    # -- pointing and clicking --

    def test_hover_shows_the_picture(self):
        self.open("all.html")
        self.on_the_map()
        self.page.wait_for_selector("#hover:not([hidden])")
        self.assertEqual(self.page.locator("#hover canvas, #hover img").count(), 1)
        self.assertTrue(self.text("#hover figcaption").strip())

    def test_click_keeps_path_properties_and_neighbours(self):
        self.open("all.html")
        x, y = self.on_the_map()
        self.page.mouse.click(x, y)
        self.page.wait_for_selector("#side:not([hidden])")
        side = self.text("#side")
        self.assertIn(self.holder.name + "/", self.text("#side .path"))
        for word in ("Cluster", "Label", "Date", "Most similar in the collection"):
            self.assertIn(word, side)
        self.assertEqual(self.page.locator("#side .strip button").count(), 6)
        before = self.text("#side .path")
        self.page.keyboard.press("]")
        self.page.wait_for_timeout(400)
        self.assertNotEqual(self.text("#side .path"), before)
        self.page.keyboard.press("[")
        self.page.wait_for_timeout(400)
        self.assertEqual(self.text("#side .path"), before)
        self.page.keyboard.press("Escape")
        self.assertTrue(self.page.is_hidden("#side"))

    def test_the_file_itself_is_shown(self):
        """By a path that is no UTF-8, below the page's folder: a relative link."""
        self.open("all.html")
        self.page.fill("#search", "real.jpg")
        self.page.wait_for_timeout(400)
        self.assertIn("1 found", self.text("#found"))
        self.page.click("#hits button")
        image = self.page.locator("#side .big img")
        image.wait_for(state="attached")
        self.page.wait_for_timeout(300)
        self.assertEqual(image.evaluate("image => [image.complete, image.naturalWidth]"), [True, 48])
        self.assertIn("b/%FF%20real.jpg", image.get_attribute("src"))

    def test_neighbours_are_those_that_were_given(self):
        """Of six clouds: an image's neighbours have its cluster."""
        self.open("all.html", "#p=17")
        cluster = self.text("#side dl dd >> nth=0")
        for i in range(6):
            self.page.locator("#side .strip button").nth(i).click()
            self.page.wait_for_timeout(100)
            self.assertEqual(self.text("#side dl dd >> nth=0"), cluster)
            self.page.goto("about:blank")
            self.open("all.html", "#p=17")

    # -- colours, legend, search --

    def test_colouring_changes_the_map(self):
        self.open("all.html")
        seen = []
        for key in ("cluster", "label", "folder", "date"):
            self.page.select_option("#by", key)
            self.page.wait_for_timeout(400)
            seen.append(self.colours())
        self.assertEqual(self.page.locator("#by option").count(), 4)
        self.assertNotEqual(seen[0], seen[3])
        self.assertEqual(self.page.locator("#legend input[type=range]").count(), 2)
        self.page.keyboard.press("Escape")
        self.page.locator("#stage").focus()
        self.page.keyboard.press("c")
        self.assertEqual(self.page.input_value("#by"), "cluster")

    def test_legend_hides_and_shows(self):
        self.open("all.html")
        self.page.locator("#legend .entry").nth(0).click()
        self.assertIn("1,000 of 1,200", self.text("#about"))
        self.page.locator("#legend li").nth(1).hover()
        self.page.locator("#legend .only").nth(1).click()
        self.assertIn("200 of 1,200", self.text("#about"))
        self.page.get_by_text("Show all").click()
        self.assertIn("1,200 images", self.text("#about"))

    def test_search_finds_by_name_folder_and_label(self):
        self.open("all.html")
        for text, wanted in (("IMG_00023", 1), ("img_00023", 1), ("/", None), ("horse", 200), ("quotes\" & 'more' <b>", 1), ("gr\u00f6\u00dfe \u732b", 1),
                             ("cluster 2", 200), ("nothing-like-this", 0)):
            self.page.fill("#search", text)
            self.page.wait_for_timeout(350)
            found = self.text("#found")
            if wanted is not None:
                self.assertIn("%d found" % wanted if wanted else "nothing found", found, text)
        self.page.fill("#search", "IMG_00023")
        self.page.wait_for_timeout(350)
        self.page.press("#search", "Enter")
        self.page.wait_for_timeout(800)
        self.assertIn("IMG_00023", self.text("#hits"))

    def test_names_cannot_do_harm(self):
        self.open("all.html")
        self.page.fill("#search", "alert")
        self.page.wait_for_timeout(350)
        self.page.click("#hits button >> nth=0")
        self.page.select_option("#by", "label")
        self.page.wait_for_timeout(300)
        self.assertIn("</script><script>alert(1)</script>", self.text("#legend"))
        self.assertNotIn("\u202e", self.text("#legend"))
        self.page.keyboard.press("Escape")
        self.page.locator("#stage").focus()
        self.page.keyboard.press("q")
        self.assertIn("</script>", self.text("#quality"))

    # -- lasso --

    def test_lasso_lists_paths(self):
        self.open("all.html")
        self.page.keyboard.press("l")
        self.page.mouse.move(330, 20)
        self.page.mouse.down()
        for x, y in ((1270, 20), (1270, 730), (330, 730)):
            self.page.mouse.move(x, y, steps=4)
        self.page.mouse.up()
        self.page.wait_for_selector("#side:not([hidden])")
        self.assertIn("1,200 images chosen", self.text("#side"))
        with self.page.expect_download() as waiting:
            self.page.get_by_text("Save list").click()
        with open(waiting.value.path(), "rb") as file:
            lines = file.read()
        start = b"\n" + os.fsencode(self.holder.name)
        self.assertEqual(sorted((b"\n" + lines[:-1]).split(start)[1:]), self.expected_lines())
        self.page.get_by_role("button", name="Let go").click()
        self.assertTrue(self.page.is_hidden("#side"))

    def expected_lines(self):
        _rows, group = rows_of(COUNT)
        paths = odd_paths(group, self.holder.name)
        paths[1] = os.path.join(os.fsencode(self.holder.name), b"b", b"\xff real.jpg")
        start = os.fsencode(self.holder.name)
        tails = [path[len(start):] for path in paths]
        return sorted(tails)

    def test_lasso_around_nothing(self):
        self.open("all.html")
        self.page.keyboard.press("l")
        self.page.mouse.move(1250, 20)
        self.page.mouse.down()
        self.page.mouse.move(1270, 20)
        self.page.mouse.move(1270, 40)
        self.page.mouse.up()
        self.page.wait_for_timeout(200)
        self.assertTrue(self.page.is_hidden("#side"))

    # -- moving --

    def test_zoom_refines_and_the_address_keeps_it(self):
        self.open("all.html")
        before = self.colours()
        self.page.mouse.move(700, 380)
        for _ in range(6):
            self.page.mouse.wheel(0, -120)
            self.page.wait_for_timeout(40)
        self.page.wait_for_timeout(700)
        self.assertNotEqual(self.colours(), before)
        address = self.page.evaluate("location.hash")
        self.assertIn("v=2d", address)
        after = self.page.screenshot()
        self.page.goto("about:blank")
        self.open("all.html", address)
        self.page.mouse.move(700, 380)
        self.page.wait_for_timeout(300)
        again = self.page.screenshot()
        self.assertLess(difference(after, again), 0.02)
        self.page.keyboard.press("0")
        self.page.wait_for_timeout(700)
        self.assertLess(difference_of_counts(self.colours(), before), 0.05)

    def test_space_and_back(self):
        self.open("all.html")
        flat = self.colours()
        self.page.keyboard.press("3")
        self.page.wait_for_timeout(700)
        deep = self.colours()
        self.assertNotEqual(flat, deep)
        self.page.mouse.move(760, 400)
        self.page.mouse.down()
        self.page.mouse.move(900, 460, steps=6)
        self.page.mouse.up()
        self.page.wait_for_timeout(600)
        self.assertNotEqual(self.colours(), deep)
        x, y = self.on_the_map()
        self.page.mouse.click(x, y)
        self.page.wait_for_selector("#side:not([hidden])")
        self.page.keyboard.press("Escape")
        self.page.keyboard.press("2")
        self.page.wait_for_timeout(600)
        self.assertLess(difference_of_counts(self.colours(), flat), 0.05)

    def test_keys_and_dialogs(self):
        self.open("all.html")
        self.page.keyboard.press("?")
        self.assertTrue(self.page.locator("#help").evaluate("dialog => dialog.open"))
        self.page.keyboard.press("Escape")
        self.page.keyboard.press("q")
        quality = self.text("#quality")
        self.assertIn("trustworthiness", quality)
        self.assertIn("0.9731", quality)
        self.assertIn("neighbours found beside each other", quality)
        self.page.keyboard.press("Escape")
        dark = self.page.locator("html").evaluate("html => html.classList.contains('dark')")
        self.page.keyboard.press("d")
        self.assertNotEqual(self.page.locator("html").evaluate("html => html.classList.contains('dark')"), dark)
        self.page.keyboard.press("p")
        self.assertTrue(self.page.is_hidden("#panel"))
        for key in ("ArrowLeft", "ArrowUp", "+", "-", ",", ".", "t", "t", "n", "n"):
            self.page.keyboard.press(key)
        self.page.keyboard.press("/")
        self.page.keyboard.type("dog")
        self.assertEqual(self.page.input_value("#search"), "dog")
        self.page.keyboard.press("Escape")
        self.page.keyboard.press("Enter")

    def test_fingers(self):
        context = self.browser.new_context(viewport={"width": 390, "height": 780}, has_touch=True, is_mobile=True)
        page = context.new_page()
        page.goto("file://%s/all.html" % self.holder.name)
        page.wait_for_selector("html[data-state=complete]", state="attached")
        page.locator("#t-panel").tap()
        page.wait_for_timeout(500)
        if SHOTS:
            page.screenshot(path=os.path.join(SHOTS, "telephone.png"))
        for x, y in ((x, y) for y in range(420, 200, -30) for x in (150, 60, 250)):
            page.touchscreen.tap(x, y)
            page.wait_for_timeout(450)  # two quick taps zoom
            if page.is_visible("#side"):
                break
        self.assertTrue(page.is_visible("#side"))
        context.close()

    # -- tiles --

    def test_tiles_come_when_one_is_close(self):
        self.open("tiles.html")
        self.page.wait_for_timeout(600)
        self.assertTrue([url for url in self.requests if "/tiles/000/" in url])
        seen = self.colours()
        self.page.keyboard.press("t")
        self.page.wait_for_timeout(300)
        self.assertGreater(difference_of_counts(seen, self.colours()), 0.02)


# ---- pictures of the page ----

def pixels_of(shot):
    """A screenshot as an array, read by the library itself."""
    return imgsim.Image(shot).pixels


def colours_of(shot):
    """Colours and how often each occurs; coarse, so that smoothing does not count."""
    pixels = pixels_of(shot).astype(int) >> 4
    codes = (pixels[:, :, 0] << 8) | (pixels[:, :, 1] << 4) | pixels[:, :, 2]
    values, counts = np.unique(codes, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist()))


def difference(a, b):
    """Share of pixels that differ visibly."""
    x, y = pixels_of(a).astype(int), pixels_of(b).astype(int)
    return float((np.abs(x - y).max(axis=2) > 24).mean())


def difference_of_counts(a, b):
    keys = set(a) | set(b)
    return sum(abs(a.get(key, 0) - b.get(key, 0)) for key in keys) / (2 * sum(b.values()))


def main():
    global SHOTS
    with_playwright()
    chromium()
    if "--shots" in sys.argv:
        at = sys.argv.index("--shots")
        SHOTS = sys.argv[at + 1]
        del sys.argv[at:at + 2]
    unittest.main(verbosity=2)


if __name__ == "__main__":
    main()
