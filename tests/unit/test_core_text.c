/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 as the Unicode Standard has it, base64 as RFC 4648 has it, and what is escaped. */
#include "core/text.h"

#include "check.h"

#include <string.h>

static size_t size_of(const char *bytes)
{
    return ims_utf8_size((const unsigned char *)bytes);
}

static void test_sequences(void)
{
    CHECK_EQUAL(size_of("a"), 1);
    CHECK_EQUAL(size_of("\xC3\xA9"), 2);
    CHECK_EQUAL(size_of("\xE2\x82\xAC"), 3);
    CHECK_EQUAL(size_of("\xF0\x9F\x98\x80"), 4);
    CHECK_EQUAL(size_of("\xF4\x8F\xBF\xBF"), 4); /* U+10FFFF */
    /* Overlong, surrogates, beyond the last character, cut short, and what never begins one. */
    CHECK_EQUAL(size_of("\xC0\x80"), 0);
    CHECK_EQUAL(size_of("\xC1\xBF"), 0);
    CHECK_EQUAL(size_of("\xE0\x9F\xBF"), 0);
    CHECK_EQUAL(size_of("\xED\xA0\x80"), 0);
    CHECK_EQUAL(size_of("\xF0\x8F\xBF\xBF"), 0);
    CHECK_EQUAL(size_of("\xF4\x90\x80\x80"), 0);
    CHECK_EQUAL(size_of("\xE2\x82"), 0);
    CHECK_EQUAL(size_of("\x80"), 0);
    CHECK_EQUAL(size_of("\xFF"), 0);
}

static void test_control_characters(void)
{
    CHECK(ims_utf8_is_control((const unsigned char *)"\n", 1));
    CHECK(ims_utf8_is_control((const unsigned char *)"\x7F", 1));
    CHECK(ims_utf8_is_control((const unsigned char *)"\xC2\x9F", 2));
    CHECK(!ims_utf8_is_control((const unsigned char *)"\xC2\xA0", 2));
    CHECK(!ims_utf8_is_control((const unsigned char *)"a", 1));
}

/* The examples of RFC 4648, section 10, and more than one block. */
static void test_base64(void)
{
    static const char *const pairs[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };
    struct ims_text text = {0};
    uint8_t zeros[1000] = {0};

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        char out[16] = "";

        ims_base64((const uint8_t *)pairs[i][0], strlen(pairs[i][0]), out);
        out[IMS_BASE64_SIZE(strlen(pairs[i][0]))] = '\0';
        CHECK_TEXT(out, pairs[i][1]);
    }
    ims_text_add_base64(&text, zeros, sizeof(zeros));
    CHECK_EQUAL(text.size, 1336);
    CHECK_EQUAL(strspn(text.bytes, "A"), 1334);
    CHECK_TEXT(text.bytes + 1334, "==");
    ims_text_clear(&text);
}

static void test_escaping(void)
{
    struct ims_text text = {0};

    ims_text_add_html(&text, "<a href=\"x\">'&'\n\xFF\xC2\x80\xC3\xA9");
    CHECK_TEXT(
        text.bytes, "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;"
                    "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xC3\xA9");
    ims_text_clear(&text);
    ims_text_add_field(&text, "plain");
    ims_text_add_format(&text, ",%d,", 7);
    ims_text_add_field(&text, "a,\"b\"\n");
    CHECK_TEXT(text.bytes, "plain,7,\"a,\"\"b\"\"\n\"");
    ims_text_clear(&text);
    CHECK(text.bytes == NULL);
}

int main(void)
{
    test_sequences();
    test_control_characters();
    test_base64();
    test_escaping();
    return 0;
}
