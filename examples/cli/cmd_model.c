/* SPDX-License-Identifier: Apache-2.0 */
/* imgsim model: the network of the catalog's embedding, or of a file. */
#include "common.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char cli_help_model[] =
    "imgsim model                              the network of the catalog's embedding\n"
    "imgsim model mobilenet_v2.safetensors     loads a file, shows what it is\n"
    "\n"
    "--architecture NAME, --sha256 HEX, --preprocess NAME, --input-size N, --bf16 and\n"
    "--trust-model are those of 'imgsim help scan'.\n"
    "Weights are safetensors files with torchvision's names of parameters.\n";

/* SHA-256 of a file as 64 digits. */
static bool file_sha256(const char *path, char out[65])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned char *buffer = malloc(1 << 16);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    FILE *file = fopen(path, "rb");
    unsigned digest_size = 0;
    bool fine = file != NULL && context != NULL && buffer != NULL &&
                EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1;
    size_t size;

    while (fine && (size = fread(buffer, 1, 1 << 16, file)) > 0)
        fine = EVP_DigestUpdate(context, buffer, size) == 1;
    fine = fine && !ferror(file) && EVP_DigestFinal_ex(context, digest, &digest_size) == 1 &&
           digest_size == 32;
    for (size_t i = 0; fine && i < 32; i++)
        sprintf(out + 2 * i, "%02x", (unsigned)digest[i]);

    if (file != NULL)
        fclose(file);
    EVP_MD_CTX_free(context);
    free(buffer);
    return fine;
}

struct facts {
    const char *path;
    const char *spec;
    const char *fingerprint;
    uint32_t dimension;
    /* Whether the file is where it was; SHA-256, "" if unknown. */
    bool present;
    char sha256[65];
};

static int report(const struct cli *cli, const struct facts *facts)
{
    json_t *root;
    char *path, *spec;

    if (cli->json) {
        root = json_pack(
            "{s:s, s:o, s:I, s:s, s:b, s:s}", "schema", "imgsim.model/1", "spec",
            cli_json_text(facts->spec), "dimension", (json_int_t)facts->dimension, "fingerprint",
            facts->fingerprint, "present", (int)facts->present, "sha256", facts->sha256);
        if (root != NULL && cli_json_path(root, "path", facts->path) != 0) {
            json_decref(root);
            root = NULL;
        }
        return cli_print_json(root);
    }
    path = cli_show_path(facts->path);
    spec = cli_escape(facts->spec);
    printf("file         %s%s\n", path != NULL ? path : "", facts->present ? "" : " (not there)");
    printf("network      %s\n", spec != NULL ? spec : "");
    printf("dimension    %u\n", facts->dimension);
    printf("fingerprint  %s\n", facts->fingerprint);
    if (facts->sha256[0] != '\0')
        printf("sha256       %s\n", facts->sha256);
    free(path);
    free(spec);
    return CLI_DONE;
}

static int show_catalog_model(const struct cli *cli)
{
    struct cli_remembered remembered;
    struct cli_feature feature;
    struct facts facts = {0};
    imgsim_catalog *catalog = NULL;
    int status = cli_open_catalog(cli, NULL, CLI_READ, &catalog);

    if (status != CLI_GO_ON)
        return status;
    if (!cli_has_feature(catalog, "embedding", &feature) ||
        !cli_remembered_model(catalog, &remembered)) {
        cli_message("the catalog has no embedding; 'imgsim scan --model FILE PATH' makes it");
        status = CLI_NOTHING;
    } else {
        facts.path = remembered.path;
        facts.spec = feature.spec;
        facts.fingerprint = feature.fingerprint;
        facts.dimension = feature.dimension;
        facts.present = access(remembered.path, R_OK) == 0;
        if (!facts.present || !file_sha256(remembered.path, facts.sha256))
            facts.sha256[0] = '\0';
        status = report(cli, &facts);
    }
    imgsim_catalog_free(catalog);
    return status;
}

static int
show_file(const struct cli *cli, const char *path, const struct cli_model_options *options)
{
    imgsim_extractor *extractor = NULL;
    struct facts facts = {.path = path, .present = true};
    int status = cli_open_model(cli, path, options, &extractor);

    if (status != CLI_GO_ON)
        return status;
    facts.spec = imgsim_extractor_get_spec(extractor);
    facts.fingerprint = imgsim_extractor_get_fingerprint(extractor);
    facts.dimension = imgsim_extractor_get_dimension(extractor);
    if (file_sha256(path, facts.sha256)) {
        status = report(cli, &facts);
    } else {
        cli_message("%s: %s", path, strerror(errno));
        status = CLI_IO;
    }
    imgsim_extractor_free(extractor);
    return status;
}

int cmd_model(struct cli *cli, int argc, char **argv)
{
    struct cli_model_options options;
    const struct cli_option table[] = {
        {"architecture", 0, CLI_TEXT, &options.architecture, 0, 0, NULL},
        {"sha256", 0, CLI_TEXT, &options.sha256, 0, 0, NULL},
        {"preprocess", 0, CLI_CHOICE, &options.preprocess, 0, 0, cli_preprocess_choices},
        {"input-size", 0, CLI_COUNT, &options.input_size, 32, 1024, NULL},
        {"bf16", 0, CLI_FLAG, &options.bf16, 0, 0, NULL},
        {"trust-model", 0, CLI_FLAG, &options.trust, 0, 0, NULL},
    };
    const char *path;
    int status;

    cli_model_options_init(&options);
    status = cli_parse(cli, argc, argv, table, sizeof(table) / sizeof(table[0]));
    if (status != CLI_GO_ON)
        return status;
    if (cli->operand_count > 1)
        return cli_usage(cli, "model takes one file");
    /* $IMGSIM_MODEL is not looked at here: "imgsim model" asks about the catalog. */
    path = cli->operand_count == 1 ? cli->operands[0] : cli->model;
    return path != NULL ? show_file(cli, path, &options) : show_catalog_model(cli);
}
