/* SPDX-License-Identifier: Apache-2.0 */
/* Options structs of older and newer callers with an older and a newer library. */
#include "check.h"

#include "core/options.h"

/* The struct as of some version, and as of a later one, which added a field. */
struct old_options {
    size_t struct_size;
    uint32_t width;
    int32_t flag;
};

struct new_options {
    size_t struct_size;
    uint32_t width;
    int32_t flag;
    double limit;
};

static const struct old_options old_defaults = {sizeof(struct old_options), 10, -1};
static const struct new_options new_defaults = {sizeof(struct new_options), 10, -1, 0.5};

static void same_age_takes_over_every_field(void)
{
    struct new_options caller, library = new_defaults;

    CHECK_OK(ims_options_init(&caller, sizeof(caller), &new_defaults, sizeof(new_defaults)));
    CHECK_EQUAL(caller.struct_size, sizeof(caller));
    CHECK_EQUAL(caller.width, 10);
    CHECK_NEAR(caller.limit, 0.5, 0.0);
    caller.width = 20;
    caller.limit = 2.0;
    CHECK_OK(ims_options_read(&library, sizeof(library), &caller));
    CHECK_EQUAL(library.width, 20);
    CHECK_EQUAL(library.flag, -1);
    CHECK_NEAR(library.limit, 2.0, 0.0);
    CHECK_EQUAL(library.struct_size, sizeof(library));
}

static void an_older_caller_gets_the_new_field_by_default(void)
{
    struct {
        struct old_options options;
        uint64_t guard;
    } caller;
    struct new_options library = new_defaults;

    caller.guard = 0x1234;
    CHECK_OK(ims_options_init(
        &caller.options, sizeof(caller.options), &new_defaults, sizeof(new_defaults)));
    CHECK_EQUAL(caller.guard, 0x1234);
    CHECK_EQUAL(caller.options.struct_size, sizeof(struct old_options));
    caller.options.width = 30;
    CHECK_OK(ims_options_read(&library, sizeof(library), &caller.options));
    CHECK_EQUAL(library.width, 30);
    CHECK_NEAR(library.limit, 0.5, 0.0);
    CHECK_EQUAL(library.struct_size, sizeof(library));
}

static void a_newer_caller_works_until_it_uses_the_new_field(void)
{
    struct new_options caller;
    struct old_options library = old_defaults;

    memset(&caller, 0xff, sizeof(caller));
    CHECK_OK(ims_options_init(&caller, sizeof(caller), &old_defaults, sizeof(old_defaults)));
    CHECK_EQUAL(caller.struct_size, sizeof(caller));
    CHECK_NEAR(caller.limit, 0.0, 0.0);
    caller.width = 40;
    CHECK_OK(ims_options_read(&library, sizeof(library), &caller));
    CHECK_EQUAL(library.width, 40);
    caller.limit = 1.0;
    CHECK_FAILS(
        ims_options_read(&library, sizeof(library), &caller), IMGSIM_ERROR_UNSUPPORTED, "too old");
}

static void null_means_the_defaults(void)
{
    struct new_options library = new_defaults;

    CHECK_OK(ims_options_read(&library, sizeof(library), NULL));
    CHECK_EQUAL(memcmp(&library, &new_defaults, sizeof(library)), 0);
}

static void options_without_init_are_refused(void)
{
    struct new_options caller = {0};
    struct new_options library = new_defaults;

    CHECK_FAILS(
        ims_options_read(&library, sizeof(library), &caller), IMGSIM_ERROR_INVALID_ARGUMENT,
        "init");
    memset(&caller, 0xa5, sizeof(caller));
    CHECK_FAILS(
        ims_options_read(&library, sizeof(library), &caller), IMGSIM_ERROR_INVALID_ARGUMENT,
        "init");
    CHECK_FAILS(
        ims_options_init(NULL, 8, &new_defaults, sizeof(new_defaults)),
        IMGSIM_ERROR_INVALID_ARGUMENT, "NULL");
    CHECK_FAILS(
        ims_options_init(&caller, 0, &new_defaults, sizeof(new_defaults)),
        IMGSIM_ERROR_INVALID_ARGUMENT, "struct_size");
}

int main(void)
{
    same_age_takes_over_every_field();
    an_older_caller_gets_the_new_field_by_default();
    a_newer_caller_works_until_it_uses_the_new_field();
    null_means_the_defaults();
    options_without_init_are_refused();
    return 0;
}
