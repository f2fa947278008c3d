#include "base/mem.h"
#include "cli/command.h"
#include "report/table.h"
#include <string.h>

static const char details[] =
    "Continues what a work folder holds and redoes nothing: run it again after a stop, on any "
    "number of ranks or threads, and the\n"
    "result has the same bits. SIGTERM and SIGUSR1 write checkpoints and end with exit code 75.\n"
    "Work folder: dataset_fingerprint.json plans.json splits_final.json preprocessed/ "
    "results/CONFIG/fold_K/ selection.json\n"
    "postprocessing.json predictions/. Under MPI: mpirun -n N segfleet run ... or srun segfleet "
    "run ...";

sf_status sf_cmd_run(int argc, char **argv)
{
    sf_run_options o = { .ensembles = true, .checkpoint_seconds = 300, .stop = sf_cli_stop_asked };
    sf_settings_default(&o.settings);
    const char *dataset = NULL, *recipe = "paper", *groups = NULL;
    int64_t seed = 0, threads = 0;
    bool no_mirroring = false, no_ensembles = false, done = false;
    const char *conv = "fast";
    sf_settings *s = &o.settings;
    sf_arg args[] = { { .name = "DATASET",
                        .kind = SF_ARG_STR,
                        .value = &dataset,
                        .positional = true,
                        .required = true,
                        .help = "dataset folder (nnU-Net v2 raw layout)" },
                      { .name = "work",
                        .letter = 'w',
                        .kind = SF_ARG_STR,
                        .value = &o.work,
                        .meta = "DIR",
                        .required = true,
                        .help = "work folder; made when missing" },
                      { .name = "recipe",
                        .kind = SF_ARG_STR,
                        .value = &recipe,
                        .meta = "NAME|FILE",
                        .help = "paper (default), nnunetv2, or a JSON file" },
                      { .name = "configs",
                        .letter = 'c',
                        .kind = SF_ARG_STR,
                        .value = &o.configs,
                        .meta = "LIST",
                        .help = "2d,3d_fullres,...; default: all of the plan" },
                      { .name = "folds",
                        .letter = 'f',
                        .kind = SF_ARG_STR,
                        .value = &o.folds,
                        .meta = "all|LIST",
                        .help = "folds to train; default all" },
                      { .name = "num-folds",
                        .kind = SF_ARG_INT,
                        .value = &s->num_folds,
                        .meta = "N",
                        .help = "folds of the cross-validation; default 5" },
                      { .name = "epochs",
                        .kind = SF_ARG_INT,
                        .value = &s->epochs,
                        .meta = "N",
                        .positive = true,
                        .help = "default: the recipe's 1000" },
                      { .name = "iterations",
                        .kind = SF_ARG_INT,
                        .value = &s->iterations,
                        .meta = "N",
                        .positive = true,
                        .help = "training steps per epoch; default 250" },
                      { .name = "batch-size",
                        .kind = SF_ARG_INT,
                        .value = &s->batch,
                        .meta = "B",
                        .positive = true,
                        .help = "default: the plan's" },
                      { .name = "seed",
                        .kind = SF_ARG_INT,
                        .value = &seed,
                        .meta = "S",
                        .help = "of initial weights, sampling, augmentation; default 0" },
                      { .name = "threads",
                        .letter = 't',
                        .kind = SF_ARG_INT,
                        .value = &threads,
                        .meta = "T",
                        .positive = true,
                        .help = "per rank; default: this rank's share of the processors" },
                      { .name = "memory-gb",
                        .kind = SF_ARG_REAL,
                        .value = &s->memory_gb,
                        .meta = "G",
                        .positive = true,
                        .help = "planner's memory budget; default: the recipe's 8" },
                      { .name = "groups",
                        .kind = SF_ARG_STR,
                        .value = &groups,
                        .meta = "FILE",
                        .help = "'CASE GROUP' per line: cases of one group stay in one fold" },
                      { .name = "conv",
                        .kind = SF_ARG_STR,
                        .value = &conv,
                        .meta = "fast|exact",
                        .help = "convolution kernels; default fast" },
                      { .name = "no-mirroring",
                        .kind = SF_ARG_FLAG,
                        .value = &no_mirroring,
                        .help = "neither in augmentation nor in inference" },
                      { .name = "no-ensembles",
                        .kind = SF_ARG_FLAG,
                        .value = &no_ensembles,
                        .help = "choose among single models only" },
                      { .name = "checkpoint-seconds",
                        .kind = SF_ARG_REAL,
                        .value = &o.checkpoint_seconds,
                        .meta = "S",
                        .help = "write checkpoint_latest at least so often; default 300" },
                      { .name = NULL } };
    const sf_arg_table table = {
        "run", "everything in order: from a dataset to a chosen model and predictions", details,
        args
    };
    SF_TRY(sf_cli_parse(&table, argc, argv, &done));
    if (done) return SF_OK;
    SF_CHECK(seed >= 0, SF_EINVAL, "--seed must be >= 0");
    SF_CHECK(s->num_folds >= 2 && s->num_folds <= 1000, SF_EINVAL, "--num-folds must be 2..1000");
    SF_CHECK(s->epochs >= 0 && s->iterations >= 0 && s->batch >= 0 && threads >= 0 &&
                 s->memory_gb >= 0,
             SF_EINVAL,
             "--epochs, --iterations, --batch-size, --threads, --memory-gb must not be negative");
    SF_CHECK(strcmp(conv, "fast") == 0 || strcmp(conv, "exact") == 0, SF_EINVAL,
             "--conv must be fast or exact, not '%s'", conv);
    /* a folder may be missing on one host alone: all ranks hear of it */
    sf_status st = sf_cli_absolute(s->dataset, dataset);
    if (st == SF_OK) st = sf_cli_recipe(s->recipe, recipe);
    if (st == SF_OK && groups) st = sf_cli_absolute(s->groups, groups);
    SF_TRY(sf_comm_agree(sf_comm_world(), st));
    s->seed = (uint64_t)seed;
    s->mirror = !no_mirroring;
    s->exact = strcmp(conv, "exact") == 0;
    o.ensembles = !no_ensembles;
    o.threads = (int)threads;
    sf_cli_catch_signals();
    SF_TRY(sf_run(sf_comm_world(), &o));
    if (sf_comm_rank(sf_comm_world()) != 0) return SF_OK;
    char *text = NULL;
    SF_TRY(sf_report_work(&text, o.work));
    fputs(text, stdout);
    sf_mem_free(text);
    return SF_OK;
}
