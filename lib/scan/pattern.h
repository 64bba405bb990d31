/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns that say which files of a folder belong to a collection; docs/scanning.md has their syntax. */
#ifndef IMS_SCAN_PATTERN_H
#define IMS_SCAN_PATTERN_H

#include "core/status.h"

#include <stdbool.h>

/* Characters of a pattern at most. */
#define IMS_PATTERN_MAX 1024
/* Patterns of one kind at most. */
#define IMS_PATTERNS_MAX 1024

struct ims_pattern;

/* Zero it before use, release with ims_patterns_close(). */
struct ims_patterns {
    struct ims_pattern *items;
    size_t count;
};

/* Read `count` patterns; INVALID_ARGUMENT names the option `what`, the pattern and what is wrong with it. */
imgsim_status ims_patterns_open(
    struct ims_patterns *patterns,
    const char *what,
    const char *const *texts,
    size_t count);
/*
 * Whether one of them matches: those with a slash are compared with `path`, which begins below the scanned folder, the others
 * with its last name. The time is at most that of the path's length times the pattern's.
 */
bool ims_patterns_match(const struct ims_patterns *patterns, const char *path, bool is_folder);
void ims_patterns_close(struct ims_patterns *patterns);

#endif
