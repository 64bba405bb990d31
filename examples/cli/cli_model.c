/* SPDX-License-Identifier: Apache-2.0 */
/* Networks: from the command line's options, or as the catalog remembers them. */
#include "common.h"

#include <stdlib.h>
#include <string.h>

const struct cli_choice cli_preprocess_choices[] = {
    {"torchvision", IMGSIM_PREPROCESS_TORCHVISION},
    {"squeeze", IMGSIM_PREPROCESS_SQUEEZE},
    {NULL, 0},
};

void cli_model_options_init(struct cli_model_options *options)
{
    imgsim_cnn_options defaults;

    imgsim_cnn_options_init(&defaults, sizeof(defaults));
    memset(options, 0, sizeof(*options));
    options->preprocess = defaults.preprocess;
    options->batch = defaults.batch_size;
}

const char *cli_model_path(const struct cli *cli)
{
    const char *from_environment = getenv("IMGSIM_MODEL");

    if (cli->model != NULL)
        return cli->model;
    return from_environment != NULL && from_environment[0] != '\0' ? from_environment : NULL;
}

/* An architecture that is nearly one we know: say which. */
static const char *near_architecture(const char *name)
{
    static const char *const known[] = {"mobilenet_v2", "squeezenet1_1", "resnet18",
                                        "resnet34",     "resnet50",      "resnet101",
                                        "resnet152",    "inception_v3"};
    const size_t count = sizeof(known) / sizeof(known[0]);

    for (size_t i = 0; i < count; i++) {
        if (strcmp(name, known[i]) == 0)
            return NULL;
    }
    return cli_suggest(name, known, count);
}

int cli_open_model(
    const struct cli *cli,
    const char *path,
    const struct cli_model_options *options,
    imgsim_extractor **out_extractor)
{
    imgsim_cnn_options cnn;
    imgsim_status status;
    const char *near;

    if (options->architecture != NULL && (near = near_architecture(options->architecture)) != NULL)
        return cli_usage(
            cli, "--architecture: unknown '%s'; did you mean '%s'?", options->architecture, near);
    imgsim_cnn_options_init(&cnn, sizeof(cnn));
    cnn.model_path = path;
    cnn.architecture = options->architecture;
    cnn.sha256 = options->sha256;
    cnn.precision = options->bf16 ? IMGSIM_PRECISION_BF16 : IMGSIM_PRECISION_FP32;
    cnn.preprocess = options->preprocess;
    cnn.trust_model = options->trust;
    cnn.threads = cli->threads;
    cnn.batch_size = options->batch;
    cnn.input_size = options->input_size;
    cnn.classes = options->classes;

    status = imgsim_extractor_new_cnn(&cnn, out_extractor);
    return status == IMGSIM_OK ? CLI_GO_ON : cli_failed_at(status, CLI_ABOUT_MODEL, path);
}

/* ---- what the catalog remembers ---- */

/* One KEY=VALUE of a specification; unknown keys are left alone. */
static void take_setting(const char *key, const char *value, struct cli_remembered *out)
{
    if (strcmp(key, "arch") == 0)
        snprintf(out->architecture, sizeof(out->architecture), "%s", value);
    else if (strcmp(key, "precision") == 0)
        out->options.bf16 = strcmp(value, "bf16") == 0;
    else if (strcmp(key, "size") == 0)
        out->options.input_size = (uint32_t)strtoul(value, NULL, 10);
    else if (strcmp(key, "preprocess") == 0)
        for (const struct cli_choice *choice = cli_preprocess_choices; choice->name != NULL;
             choice++)
            if (strcmp(choice->name, value) == 0)
                out->options.preprocess = choice->value;
}

bool cli_remembered_model(const imgsim_catalog *catalog, struct cli_remembered *out)
{
    struct cli_feature feature;
    const char *model;
    char *at;

    memset(out, 0, sizeof(*out));
    cli_model_options_init(&out->options);
    if (!cli_has_feature(catalog, "embedding", &feature) || strncmp(feature.spec, "cnn:", 4) != 0)
        return false;

    /*
     * "cnn:arch=resnet50,precision=fp32,...,model=PATH"; the path comes last and may contain
     * anything.
     */
    model = strstr(feature.spec, ",model=");
    if (model != NULL)
        snprintf(out->path, sizeof(out->path), "%s", model + strlen(",model="));
    if (model != NULL)
        feature.spec[model - feature.spec] = '\0';
    at = feature.spec + strlen("cnn:");
    while (at != NULL && *at != '\0') {
        char *next = strchr(at, ',');
        char *equals;

        if (next != NULL)
            *next++ = '\0';
        equals = strchr(at, '=');
        if (equals != NULL) {
            *equals = '\0';
            take_setting(at, equals + 1, out);
        }
        at = next;
    }
    if (out->architecture[0] != '\0' && strcmp(out->architecture, CLI_TORCHSCRIPT) != 0)
        out->options.architecture = out->architecture;
    return true;
}
