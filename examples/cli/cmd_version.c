/* SPDX-License-Identifier: Apache-2.0 */
/* imgsim version: what this build can do. */
#include "common.h"

const char cli_help_version[] =
    "imgsim version          version, instruction set, what was built in\n"
    "imgsim --version        the first line of it\n"
    "\n"
    "The environment variable IMGSIM_SIMD (scalar, avx2, avx512, neon) forces an\n"
    "instruction set.\n";

static const char *const formats[] = {"jpeg", "png",  "webp", "gif", "tiff",
                                      "heif", "avif", "jxl",  "bmp", "pnm"};
#define FORMAT_COUNT (sizeof(formats) / sizeof(formats[0]))

static int print_version_json(void)
{
    json_t *readable = json_array();

    for (size_t i = 0; i < FORMAT_COUNT; i++) {
        if (imgsim_has_feature(formats[i]))
            json_array_append_new(readable, json_string(formats[i]));
    }
    return cli_print_json(json_pack(
        "{s:s, s:s, s:s, s:I, s:b, s:o}", "schema", "imgsim.version/1", "version",
        imgsim_version_string(), "simd", imgsim_simd_name(), "processors",
        (json_int_t)imgsim_cpu_count(), "torch", (int)imgsim_has_feature("torch"), "formats",
        readable));
}

int cmd_version(struct cli *cli, int argc, char **argv)
{
    int status = cli_parse(cli, argc, argv, NULL, 0);

    if (status != CLI_GO_ON)
        return status;
    if (cli->operand_count > 0)
        return cli_usage(cli, "version takes no '%s'", cli->operands[0]);
    if (cli->json)
        return print_version_json();

    printf("imgsim %s\n", imgsim_version_string());
    printf("instruction set  %s, %u processors\n", imgsim_simd_name(), imgsim_cpu_count());
    printf(
        "networks         %s\n",
        imgsim_has_feature("torch") ? "yes" : "no (libimgsim-torch.so is not installed)");
    printf("image formats   ");
    for (size_t i = 0; i < FORMAT_COUNT; i++) {
        if (imgsim_has_feature(formats[i]))
            printf(" %s", formats[i]);
    }
    putchar('\n');
    return CLI_DONE;
}
