/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands of imgsim share: options, catalogs, messages, exit statuses, progress, JSON. */
#ifndef IMGSIM_CLI_COMMON_H
#define IMGSIM_CLI_COMMON_H

#include <imgsim/imgsim.h>

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* ---- exit statuses: docs/command.md ---- */

enum cli_exit {
    CLI_DONE = 0,
    CLI_NOTHING = 1,
    CLI_USAGE = 2,
    CLI_NO_CATALOG = 3,
    CLI_DAMAGED = 4,
    CLI_IO = 5,
    CLI_SOME_FAILED = 6,
    CLI_INTERRUPTED = 130,
    /* No exit status: the command goes on. */
    CLI_GO_ON = -1
};

/*
 * What a failed call was about: the same status of the library means different things to a script.
 */
enum cli_about {
    CLI_ABOUT_OPENING, /* of a catalog */
    CLI_ABOUT_CATALOG, /* that is open, and names looked up in it */
    CLI_ABOUT_INPUT,   /* a picture to search for */
    CLI_ABOUT_MODEL,   /* a network's file */
    CLI_ABOUT_OUTPUT   /* a file that is written */
};

/* ---- one run of the command ---- */

struct cli_command;

/* What --progress asks for: lines also without a terminal, events for programs. */
enum { CLI_PROGRESS_LINES = 1, CLI_PROGRESS_JSON = 2 };

struct cli {
    const struct cli_command *command;
    /* Values of the common options. */
    const char *catalog;
    const char *model;
    uint32_t threads;
    int32_t quiet;
    int32_t verbose;
    int32_t json;
    int32_t progress; /* 0, or CLI_PROGRESS_LINES, ... */
    int32_t help;
    int32_t version;
    /* What is left of the command line, after cli_parse(). */
    char **operands;
    size_t operand_count;
};

struct cli_command {
    const char *name;
    const char *summary;
    const char *help; /* at most 24 lines, examples first */
    int (*run)(struct cli *cli, int argc, char **argv);
};

int cmd_scan(struct cli *cli, int argc, char **argv);
int cmd_search(struct cli *cli, int argc, char **argv);
int cmd_pca(struct cli *cli, int argc, char **argv);
int cmd_index(struct cli *cli, int argc, char **argv);
int cmd_map(struct cli *cli, int argc, char **argv);
int cmd_cluster(struct cli *cli, int argc, char **argv);
int cmd_label(struct cli *cli, int argc, char **argv);
int cmd_dups(struct cli *cli, int argc, char **argv);
int cmd_export(struct cli *cli, int argc, char **argv);
int cmd_import(struct cli *cli, int argc, char **argv);
int cmd_status(struct cli *cli, int argc, char **argv);
int cmd_verify(struct cli *cli, int argc, char **argv);
int cmd_model(struct cli *cli, int argc, char **argv);
int cmd_version(struct cli *cli, int argc, char **argv);
int cmd_help(struct cli *cli, int argc, char **argv);

extern const char cli_help_scan[];
extern const char cli_help_search[];
extern const char cli_help_pca[];
extern const char cli_help_index[];
extern const char cli_help_map[];
extern const char cli_help_cluster[];
extern const char cli_help_label[];
extern const char cli_help_dups[];
extern const char cli_help_export[];
extern const char cli_help_import[];
extern const char cli_help_status[];
extern const char cli_help_verify[];
extern const char cli_help_model[];
extern const char cli_help_version[];
extern const char cli_help_help[];

/* ---- cli_start.c ---- */

/* Take back what was changed before the libraries started. */
void cli_allow_all_processors(void);

/* The command of a name, or NULL after a message with a suggestion. */
const struct cli_command *cli_find_command(const char *name);

/* ---- options (cli_options.c) ---- */

/* Comment: what `value` points to. */
enum cli_kind {
    CLI_FLAG,           /* int32_t, becomes 1 */
    CLI_TEXT,           /* const char * */
    CLI_LIST,           /* struct cli_list; the option may be repeated */
    CLI_COUNT,          /* uint32_t, least to most */
    CLI_COUNT_OPTIONAL, /* uint32_t; UINT32_MAX when given without a value */
    CLI_SIZE,           /* uint64_t, least to most */
    CLI_REAL,           /* double, least to most */
    CLI_CHOICE,         /* int32_t, one of `choices` */
    CLI_CHOICE_OPTIONAL /* the same; the first of them when given without a value */
};

struct cli_choice {
    const char *name; /* NULL ends the list */
    int32_t value;
};

struct cli_option {
    const char *name;
    char letter; /* 0: long form only */
    enum cli_kind kind;
    void *value;
    double least;
    double most;
    const struct cli_choice *choices;
};

#define CLI_LIST_MAX 64
struct cli_list {
    const char *items[CLI_LIST_MAX];
    size_t count;
};

/*
 * Read the command's own options and the common ones, anywhere among the operands; "--" ends them.
 * Returns CLI_GO_ON, or the exit status after a message or the help text was printed.
 */
int cli_parse(
    struct cli *cli,
    int argc,
    char **argv,
    const struct cli_option *options,
    size_t option_count);

/*
 * Read the common options before the command's name; *out_next is the position of the first word
 * that is none.
 */
int cli_parse_leading(struct cli *cli, int argc, char **argv, int *out_next);

/* Whole-text conversions: false if `text` is anything but a number from least to most. */
bool cli_read_size(const char *text, double least, double most, uint64_t *out_value);
bool cli_read_real(const char *text, double least, double most, double *out_value);

/* --metric NAME. Returns CLI_GO_ON, or CLI_USAGE after a message. */
int cli_read_metric(const struct cli *cli, const char *name, int32_t *out_metric);

/* The name nearest to `word` by edits, NULL if none is near. */
const char *cli_suggest(const char *word, const char *const *names, size_t count);
/* The same among choices. */
const char *cli_suggest_choice(const char *word, const struct cli_choice *choices);

/* ---- messages (cli_output.c) ---- */

#if defined(__GNUC__)
#define CLI_FORMAT(first) __attribute__((format(printf, first, first + 1)))
#else
#define CLI_FORMAT(first)
#endif

/* "imgsim: text" on standard error, on one line whatever bytes the text has. */
void cli_message(const char *format, ...) CLI_FORMAT(1);
/* The same unless --quiet. */
void cli_note(const struct cli *cli, const char *format, ...) CLI_FORMAT(2);
/* A message about wrong usage, which also names the help text. Returns CLI_USAGE. */
int cli_usage(const struct cli *cli, const char *format, ...) CLI_FORMAT(2);
/* The message of a failed call of the library: imgsim_last_error(). Returns the exit status. */
int cli_failed(imgsim_status status, enum cli_about about);
/* The same with a word of ours in front, unless the message has it: "WHAT: last error". */
int cli_failed_at(imgsim_status status, enum cli_about about, const char *what);
/* "out of memory". Returns CLI_IO. */
int cli_no_memory(void);

/*
 * Text for people: control characters and bytes that are no UTF-8 become \xNN, a backslash two.
 * Release with free().
 */
char *cli_escape(const char *bytes);
/*
 * A path for people: relative to the working folder if it lies below, then escaped. Release with
 * free().
 */
char *cli_show_path(const char *path);
/* Number with thousands separated: "1,234". Returns `buffer`, at least 32 bytes. */
char *cli_count_text(uint64_t number, char *buffer);

/* A JSON text; bytes that are no UTF-8 become U+FFFD. */
json_t *cli_json_text(const char *bytes);
/*
 * Set object[key] to a path, and object[key + "_bytes"] to its bytes in hexadecimal if it is no
 * UTF-8.
 */
int cli_json_path(json_t *object, const char *key, const char *path);
/* Print and release; `root` may be NULL (out of memory). Returns the exit status. */
int cli_print_json(json_t *root);
/*
 * Flush standard output: the given exit status, or CLI_IO if what was printed could not be
 * written.
 */
int cli_finish_output(int exit_status);

/* ---- progress (cli_progress.c) ---- */

/*
 * Let SIGINT and SIGTERM stop the operation through its progress callback; a second one ends the
 * program at once.
 */
void cli_catch_interrupts(void);
bool cli_interrupted(void);
/* An imgsim_progress_callback; user_data is the struct cli. */
int32_t cli_show_progress(const imgsim_progress *progress, void *user_data);
/* Take the progress line away before something else is printed. */
void cli_clear_progress(void);
/* "4 min 12 s"; returns `buffer`, at least 32 bytes. */
char *cli_duration_text(double seconds, char *buffer);

/* ---- catalogs (cli_catalog.c) ---- */

enum cli_access { CLI_READ, CLI_WRITE };

/*
 * Open the catalog that exists: --catalog, $IMGSIM_CATALOG, the nearest .imgsim upwards from the
 * working folder or, after that, from `near_path` (may be NULL). Returns CLI_GO_ON or an exit
 * status after a message.
 */
int cli_open_catalog(
    const struct cli *cli,
    const char *near_path,
    enum cli_access access,
    imgsim_catalog **out_catalog);
/* Only its folder, as named: for a catalog that cannot be opened. Release it with free(). */
int cli_find_catalog(const struct cli *cli, const char *near_path, char **out_folder);
/*
 * The folder a scan of `first_path` stores into. Returns CLI_GO_ON or an exit status; release
 * *out_folder with free().
 */
int cli_scan_catalog(const struct cli *cli, const char *first_path, char **out_folder);

/* What is said about a feature set; texts are the caller's copies. */
struct cli_feature {
    char name[64];
    char source[64];
    char fingerprint[128];
    char spec[4096 + 512];
    uint32_t dimension;
    int32_t row_type;
    int32_t metric;
    uint64_t image_count;
};
/* Whether the catalog has a feature set; fills `out` (may be NULL). */
bool cli_has_feature(const imgsim_catalog *catalog, const char *name, struct cli_feature *out);

/*
 * Id of an image of the catalog: a path, a UUID, or an integer id. Returns CLI_GO_ON, or an exit
 * status after a message.
 */
int cli_find_image(const imgsim_catalog *catalog, const char *text, int64_t *out_id);
/* Whether `text` has the form of a UUID, of an integer id. */
bool cli_is_uuid(const char *text);
bool cli_is_id(const char *text, int64_t *out_id);

/* ---- a study of dimensions (cmd_pca_study.c) ---- */

struct cli_study {
    const char *source;
    const char *dimensions; /* "50,75,100" */
    const char *plot;       /* NULL: none */
    uint32_t queries;
    int32_t classes;
};
extern const struct cli_choice cli_classes_choices[];
/* Make it, print it, draw it. Returns the exit status. */
int cli_pca_study(struct cli *cli, const struct cli_study *study, const imgsim_catalog *catalog);

/* ---- predicted labels (cmd_label_predict.c) ---- */

/* Predict labels for the operands, or all images without. Returns the exit status. */
int cli_predict(struct cli *cli, imgsim_predict_options *options, imgsim_catalog *catalog);

/* ---- models (cli_model.c) ---- */

/* Options of scan and search that say how a network is run. */
struct cli_model_options {
    const char *architecture;
    const char *sha256;
    int32_t bf16;
    int32_t preprocess;
    int32_t trust;
    uint32_t batch;
    uint32_t input_size;
    int32_t classes; /* keep the last layer */
};
extern const struct cli_choice cli_preprocess_choices[];
void cli_model_options_init(struct cli_model_options *options);

/* --model, else $IMGSIM_MODEL, else NULL. */
const char *cli_model_path(const struct cli *cli);
/* Make the extractor. Returns CLI_GO_ON, or an exit status after a message. */
int cli_open_model(
    const struct cli *cli,
    const char *path,
    const struct cli_model_options *options,
    imgsim_extractor **out_extractor);

/*
 * Architecture of a catalog whose embedding comes from a TorchScript file: a program, never run
 * unasked.
 */
#define CLI_TORCHSCRIPT "torchscript"

/* How the catalog's embedding was made, read from its specification. */
struct cli_remembered {
    char path[4096];
    char architecture[64];
    /* Ready for cli_open_model(); its texts point into this struct. */
    struct cli_model_options options;
};
/* False if the catalog has no embedding made by a network. */
bool cli_remembered_model(const imgsim_catalog *catalog, struct cli_remembered *out);

#endif
