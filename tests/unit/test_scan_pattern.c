/* SPDX-License-Identifier: Apache-2.0 */
/* Which paths a pattern matches, and which patterns are refused. */
#include "check.h"

#include <imgsim/scan.h>

#include "core/rng.h"
#include "scan/pattern.h"

#include <time.h>

static int matches(const char *pattern, const char *path, int32_t is_folder)
{
    int32_t result = -1;

    CHECK_OK(imgsim_scan_match(pattern, path, is_folder, &result));
    return result;
}

static void patterns_match_what_the_page_says(void)
{
    static const struct {
        const char *pattern;
        const char *path;
        int folder;
        int expected;
    } cases[] = {
        /* Without a slash: the name, at any depth. */
        {"*.jpg", "a.jpg", 0, 1},
        {"*.jpg", "x/y/a.jpg", 0, 1},
        {"*.jpg", "a.JPG", 0, 0},
        {"*.jpg", "a.jpg.txt", 0, 0},
        {"*.[jJ][pP][gG]", "a.JpG", 0, 1},
        {"a?c", "abc", 0, 1},
        {"a?c", "a/c", 0, 0},
        {"a?c",
         "a\xc3\xa4"
         "c",
         0, 1}, /* one character of two bytes */
        {"a?c",
         "a\xff"
         "c",
         0, 1}, /* a byte that is no UTF-8 */
        {"a??c",
         "a\xc3\xa4"
         "c",
         0, 0},
        {"*", "", 0, 1},
        {"*", "x/y", 0, 1},
        {"cache", "x/cache", 1, 1},
        {"cache", "x/cached", 1, 0},
        /* With a slash: the path below the scanned folder. */
        {"x/*.jpg", "x/a.jpg", 0, 1},
        {"x/*.jpg", "x/y/a.jpg", 0, 0},
        {"x/*.jpg", "w/x/a.jpg", 0, 0},
        {"/a.jpg", "a.jpg", 0, 1},
        {"/a.jpg", "x/a.jpg", 0, 0},
        {"x/**/a.jpg", "x/a.jpg", 0, 1},
        {"x/**/a.jpg", "x/y/z/a.jpg", 0, 1},
        {"x/**/a.jpg", "x/y/ba.jpg", 0, 0},
        {"**/x/*.jpg", "x/a.jpg", 0, 1},
        {"**/x/*.jpg", "v/w/x/a.jpg", 0, 1},
        {"**/x/*.jpg", "v/wx/a.jpg", 0, 0},
        {"x/**", "x/y/z", 0, 1},
        {"x/**", "x", 1, 0},
        {"a**b/c", "a/x/b/c", 0, 1},
        /* A slash at the end: folders only. */
        {"cache/", "x/cache", 1, 1},
        {"cache/", "x/cache", 0, 0},
        {"x/cache/", "x/cache", 1, 1},
        {"x/cache/", "y/x/cache", 1, 0},
        /* Sets. */
        {"[a-c]", "b", 0, 1},
        {"[a-c]", "d", 0, 0},
        {"[!a-c]", "d", 0, 1},
        {"[^a-c]", "a", 0, 0},
        {"[]x]", "]", 0, 1},
        {"[!]]", "]", 0, 0},
        {"[a-]", "-", 0, 1},
        {"[\\]a]", "]", 0, 1},
        {"[\xc3\xa0-\xc3\xbf]", "\xc3\xa9", 0, 1},
        {"x[!a]y", "x/y", 0, 0},
        /* Literally. */
        {"\\*", "*", 0, 1},
        {"\\*", "a", 0, 0},
        {"a\\?", "a?", 0, 1},
        {"a b\n", "a b\n", 0, 1},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (matches(cases[i].pattern, cases[i].path, cases[i].folder) != cases[i].expected)
            fprintf(stderr, "\"%s\" and \"%s\"\n", cases[i].pattern, cases[i].path);
        CHECK_EQUAL(matches(cases[i].pattern, cases[i].path, cases[i].folder), cases[i].expected);
    }
}

static void wrong_patterns_are_refused(void)
{
    static const char *const wrong[] = {"", "/", "[a", "[", "[]", "a\\", "[b-a]", "[a/b]", "[\\"};
    char text[IMS_PATTERN_MAX + 2];
    int32_t result;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        CHECK_FAILS(
            imgsim_scan_match(wrong[i], "a", 0, &result), IMGSIM_ERROR_INVALID_ARGUMENT, "pattern");
    memset(text, 'a', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    CHECK_FAILS(imgsim_scan_match(text, "a", 0, &result), IMGSIM_ERROR_INVALID_ARGUMENT, "1025");
    text[sizeof(text) - 2] = '\0';
    CHECK_EQUAL(matches(text, text, 0), 1);
    CHECK_FAILS(imgsim_scan_match(NULL, "a", 0, &result), IMGSIM_ERROR_INVALID_ARGUMENT, "NULL");
    CHECK_FAILS(imgsim_scan_match("a", NULL, 0, &result), IMGSIM_ERROR_INVALID_ARGUMENT, "NULL");
    CHECK_FAILS(imgsim_scan_match("a", "a", 0, NULL), IMGSIM_ERROR_INVALID_ARGUMENT, "NULL");
}

/* The definition, by trying everything: only for short texts. */
static bool slow(const char *pattern, const char *path)
{
    if (*pattern == '\0')
        return *path == '\0';
    if (pattern[0] == '*' && pattern[1] == '*') {
        pattern += 2;
        for (;; path++) {
            if (slow(pattern, path))
                return true;
            if (*path == '\0')
                return false;
        }
    }
    if (*pattern == '*') {
        for (;; path++) {
            if (slow(pattern + 1, path))
                return true;
            if (*path == '\0' || *path == '/')
                return false;
        }
    }
    if (*path == '\0' || (*pattern == '?' ? *path == '/' : *pattern != *path))
        return false;
    return slow(pattern + 1, path + 1);
}

static void it_agrees_with_the_definition(void)
{
    static const char letters[] = "ab**/";
    struct ims_rng rng;
    int positive = 0;

    ims_rng_init(&rng, 1);
    for (int i = 0; i < 200000; i++) {
        char pattern[12], path[12];
        size_t pattern_length = 2 + (size_t)ims_rng_below(&rng, 7);
        size_t path_length = 1 + (size_t)ims_rng_below(&rng, 8);

        for (size_t j = 0; j < pattern_length; j++)
            pattern[j] = letters[ims_rng_below(&rng, 5)];
        pattern[pattern_length] = '\0';
        for (size_t j = 0; j < path_length; j++)
            path[j] = "ab/"[ims_rng_below(&rng, 3)];
        path[path_length] = '\0';
        /* Those with an own meaning of slash or stars are in the table above. */
        if (pattern[0] == '/' || pattern[pattern_length - 1] == '/' || strstr(pattern, "**/") ||
            strstr(pattern, "***") || strchr(pattern, '/') == NULL)
            continue;
        positive += slow(pattern, path);
        if (matches(pattern, path, 0) != slow(pattern, path))
            fprintf(stderr, "\"%s\" and \"%s\"\n", pattern, path);
        CHECK_EQUAL(matches(pattern, path, 0), slow(pattern, path));
    }
    CHECK(positive > 500);
}

/* What takes others for ever: many stars, and a path that does not match at its very end. */
static void no_pattern_takes_long(void)
{
    char pattern[IMS_PATTERN_MAX + 1] = "", path[20001];
    clock_t begun = clock();

    for (int i = 0; i < 200; i++)
        strcat(pattern, i % 2 ? "*a" : "**a");
    memset(path, 'a', 20000);
    path[20000] = '\0';
    path[19999] = 'b';
    CHECK_EQUAL(matches(pattern, path, 0), 0);
    CHECK((clock() - begun) / CLOCKS_PER_SEC < 20);
}

int main(void)
{
    patterns_match_what_the_page_says();
    wrong_patterns_are_refused();
    it_agrees_with_the_definition();
    no_pattern_takes_long();
    return 0;
}
