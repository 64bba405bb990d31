/* SPDX-License-Identifier: Apache-2.0 */
/* States and reasons of what the walk saw and did not take for a file to read; docs/scanning.md lists them. */
#include "scan/scan.h"

#include <stdio.h>
#include <string.h>

/* A reason that ends with a colon is followed by the system's words. */
static const struct {
    int32_t state;
    const char *reason;
} judgements[] = {
    [IMS_ENTRY_FILE] = {IMGSIM_FILE_OK, ""},
    [IMS_ENTRY_NOT_REGULAR] = {IMGSIM_FILE_SKIPPED, "not a regular file"},
    [IMS_ENTRY_BROKEN_LINK] = {IMGSIM_FILE_FAILED, "broken link:"},
    [IMS_ENTRY_FOLDER_LINK] = {IMGSIM_FILE_SKIPPED, "link to a folder"},
    [IMS_ENTRY_FOLDER_SEEN] = {IMGSIM_FILE_SKIPPED, "folder seen elsewhere"},
    [IMS_ENTRY_FOLDER_UNREADABLE] = {IMGSIM_FILE_FAILED, "unreadable folder:"},
    [IMS_ENTRY_PATH_TOO_LONG] = {IMGSIM_FILE_FAILED, "path too long"},
    [IMS_ENTRY_UNREADABLE] = {IMGSIM_FILE_FAILED, "unreadable:"},
    [IMS_ENTRY_HIDDEN] = {IMGSIM_FILE_SKIPPED, "hidden"},
    [IMS_ENTRY_FOLDER_HIDDEN] = {IMGSIM_FILE_SKIPPED, "hidden folder"},
    [IMS_ENTRY_EXCLUDED] = {IMGSIM_FILE_SKIPPED, "excluded"},
    [IMS_ENTRY_FOLDER_EXCLUDED] = {IMGSIM_FILE_SKIPPED, "excluded folder"},
    [IMS_ENTRY_NOT_INCLUDED] = {IMGSIM_FILE_SKIPPED, "not included"},
    [IMS_ENTRY_OTHER_FILE_SYSTEM] = {IMGSIM_FILE_SKIPPED, "other file system"},
    [IMS_ENTRY_TOO_FEW_BYTES] = {IMGSIM_FILE_SKIPPED, "too few bytes"},
};

bool ims_entry_judge(
    enum ims_entry_kind kind,
    int error,
    int32_t *out_state,
    char out_reason[IMS_REASON_SIZE])
{
    const char *reason = judgements[kind].reason;
    size_t length = strlen(reason);

    *out_state = judgements[kind].state;
    if (length > 0 && reason[length - 1] == ':')
        snprintf(out_reason, IMS_REASON_SIZE, "%s %s", reason, strerror(error));
    else
        snprintf(out_reason, IMS_REASON_SIZE, "%s", reason);
    return kind != IMS_ENTRY_FILE;
}

bool ims_entry_was_told(enum ims_entry_kind kind)
{
    return kind >= IMS_ENTRY_EXCLUDED && kind <= IMS_ENTRY_TOO_FEW_BYTES;
}

bool ims_entry_by_default(enum ims_entry_kind kind)
{
    return kind == IMS_ENTRY_HIDDEN;
}

bool ims_reason_is_folder(const char *reason)
{
    return strstr(reason, "folder") != NULL ||
           strcmp(reason, judgements[IMS_ENTRY_OTHER_FILE_SYSTEM].reason) == 0;
}

bool ims_reason_passes(const char *reason)
{
    if (strncmp(reason, "unreadable", 10) == 0 || strncmp(reason, "changed while", 13) == 0 ||
        strncmp(reason, "extractor ", 10) == 0)
        return true;
    for (size_t kind = IMS_ENTRY_HIDDEN; kind <= IMS_ENTRY_TOO_FEW_BYTES; kind++)
        if (strcmp(reason, judgements[kind].reason) == 0)
            return true;
    return false;
}
