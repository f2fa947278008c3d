#include "base/log.h"
#include "base/mem.h"
#include "cli/command.h"
#include "plan/recipe.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NEEDS_MPI = 1, STOPS = 2 /* on request, with work left */ };

static const struct {
    const char *name;
    sf_command_fn *run;
    unsigned needs;
    const char *brief;
} commands[] = {
    { "run", sf_cmd_run, NEEDS_MPI | STOPS,
      "everything in order: from a dataset to a chosen model and predictions" },
    { "verify", sf_cmd_verify, 0, "check a dataset folder" },
    { "fingerprint", sf_cmd_fingerprint, NEEDS_MPI,
      "shapes, spacings and intensities of a dataset" },
    { "plan", sf_cmd_plan, NEEDS_MPI, "derive all configurations from a fingerprint" },
    { "preprocess", sf_cmd_preprocess, NEEDS_MPI,
      "crop, normalise, resample all cases into one file per configuration" },
    { "train", sf_cmd_train, NEEDS_MPI | STOPS, "train one configuration on one fold" },
    { "select", sf_cmd_select, NEEDS_MPI,
      "choose the best model or ensemble and its post-processing" },
    { "predict", sf_cmd_predict, NEEDS_MPI, "segment new images with a trained model" },
    { "ensemble", sf_cmd_ensemble, NEEDS_MPI,
      "average the stored probabilities of several models" },
    { "accumulate", sf_cmd_accumulate, 0, "gather the folds' validation segmentations" },
    { "determine-postprocessing", sf_cmd_determine, 0,
      "measure which removals of components help" },
    { "apply-postprocessing", sf_cmd_postprocess, 0, "treat segmentations accordingly" },
    { "evaluate", sf_cmd_evaluate, 0, "compare segmentations with references" },
    { "instances", sf_cmd_instances, 0, "objects as core and border, and back" },
    { "convert", sf_cmd_convert, 0,
      "Decathlon and nnU-Net v1 datasets, image files, stacks of planes" },
    { "phantom", sf_cmd_phantom, 0, "make a small labelled dataset" },
    { "bench", sf_cmd_bench, 0,
      "measure this machine: a training step, a prediction, the peak of a core" },
    { "estimate", sf_cmd_estimate, 0,
      "predict operations, memory, time and disk of a run; job script" },
    { "info", sf_cmd_info, 0, "print what one of our files holds" },
};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

/* docs/commands.md documents these. */
static int exit_code(sf_status st)
{
    static const int code[] = {
        [SF_OK] = 0,           [SF_EINVAL] = 2,    [SF_EDATA] = 3, [SF_EIO] = 4,   [SF_ENOMEM] = 5,
        [SF_EUNSUPPORTED] = 6, [SF_EINTERNAL] = 7, [SF_ECOMM] = 8, [SF_ESTOP] = 75
    };
    return code[st];
}

static void print_help(FILE *to)
{
    fprintf(to,
            "segfleet %s: self-configuring segmentation of biomedical images on CPU clusters\n\n"
            "usage: segfleet COMMAND [OPTIONS]       segfleet COMMAND --help\n\ncommands:\n",
            SEGFLEET_VERSION);
    for (int i = 0; i < N_COMMANDS; i++)
        fprintf(to, "  %-24s %s\n", commands[i].name, commands[i].brief);
    fprintf(to, "\nexit codes: 0 done, 2 wrong option, 3 bad input data, 4 file error, 5 out of "
                "memory, 6 not supported,\n"
                "            7 internal error, 8 another rank failed, 75 stopped with work left: "
                "run again\n");
}

static int find_command(const char *name)
{
    for (int i = 0; i < N_COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0) return i;
    }
    return -1;
}

sf_status sf_cli_parse(const sf_arg_table *t, int argc, char **argv, bool *done)
{
    SF_TRY(sf_args_parse(t, argc, argv, done));
    if (*done) sf_args_help(t, stdout);
    return SF_OK;
}

sf_status sf_cli_absolute(char out[SF_PATH_MAX], const char *path)
{
    char *real = realpath(path, NULL);
    SF_CHECK(real, SF_EINVAL, "%s does not exist", path);
    sf_status st = sf_path_format(out, "%s", real);
    free(real);
    return st;
}

sf_status sf_cli_recipe(char out[SF_PATH_MAX], const char *name)
{
    const size_t n = strlen(name);
    if (n > 5 && strcmp(name + n - 5, ".json") == 0) return sf_cli_absolute(out, name);
    return sf_path_format(out, "%s", name);
}

sf_status sf_cli_variant(char out[SF_PATH_MAX], const char *name)
{
    json_t *json = NULL;
    out[0] = 0;
    if (strcmp(name, "none") == 0) return SF_OK;
    SF_TRY(sf_cli_recipe(out, name));
    SF_TRY(sf_variant_load(&json, out)); /* a wrong one must not bind a work folder */
    json_decref(json);
    return SF_OK;
}

sf_status sf_cli_print_variants(void)
{
    char *text = NULL;
    SF_TRY(sf_variant_list(&text));
    printf("\n%s\n", text);
    sf_mem_free(text);
    return SF_OK;
}

sf_status sf_cli_spacing(double out[3], const sf_arg_list *words)
{
    if (words->count == 0) return SF_OK;
    SF_CHECK(words->count == 3, SF_EINVAL,
             "--spacing takes 3 numbers (z y x, the axis order of the files), not %d",
             words->count);
    for (int i = 0; i < 3; i++) {
        char *end;
        out[i] = strtod(words->item[i], &end);
        SF_CHECK(end != words->item[i] && *end == 0 && out[i] > 0 && out[i] < 1e9, SF_EINVAL,
                 "--spacing: \"%s\" is no spacing in mm (z y x, each more than 0)", words->item[i]);
    }
    return SF_OK;
}

/* Under mpirun every rank holds the same agreed text: one line is enough. */
static void print_error(sf_status st, bool speaks)
{
    if (!speaks) return;
    fprintf(stderr, "segfleet: %s: %s\n", sf_status_name(st), sf_error_text());
    if (st == SF_EINTERNAL) fprintf(stderr, "%s", sf_error_trace());
}

static int run_command(int which, int argc, char **argv)
{
    const bool mpi = commands[which].needs & NEEDS_MPI;
    bool speaks = true;
    sf_status st = SF_OK;
    if (commands[which].needs & STOPS) sf_cli_catch_signals();
    if (mpi) {
        st = sf_mpi_start(&argc, &argv);
        if (st == SF_OK) {
            const int rank = sf_comm_rank(sf_comm_world());
            speaks = rank == 0;
            sf_log_set_rank(-1, rank, speaks);
        }
    }
    if (st == SF_OK) st = commands[which].run(argc - 1, argv + 1);
    fflush(stdout);
    if (st != SF_OK) print_error(st, speaks);
    if (mpi) sf_mpi_stop();
    return exit_code(st);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 ||
        (strcmp(name, "help") == 0 && argc == 2)) {
        print_help(stdout);
        return 0;
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "version") == 0) {
        printf("segfleet %s\n", SEGFLEET_VERSION);
        return 0;
    }
    if (strcmp(name, "help") == 0) {
        const int which = find_command(argv[2]);
        char *words[] = { argv[2], (char *)(uintptr_t) "--help", NULL };
        if (which >= 0) return exit_code(commands[which].run(2, words));
        name = argv[2];
    }
    const int which = find_command(name);
    if (which < 0) {
        fprintf(stderr, "segfleet: unknown command '%s'; 'segfleet --help' lists the commands\n",
                name);
        return 2;
    }
    return run_command(which, argc, argv);
}
