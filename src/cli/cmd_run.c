#include "base/mem.h"
#include "cli/command.h"
#include "report/table.h"
#include <string.h>

static const char details[] =
    "Continues what a work folder holds and redoes nothing: run it again after a stop, on any "
    "number of ranks or threads, and the\n"
    "result has the same bits. SIGTERM, SIGUSR1 and --max-hours write checkpoints and end with "
    "exit "
    "code 75: docs/slurm.md.\n"
    "Work folder: dataset_fingerprint.json plans.json splits_final.json preprocessed/ "
    "results/CONFIG/fold_K/ selection.json\n"
    "postprocessing.json predictions/. Under MPI: mpirun -n N segfleet run ... or srun segfleet "
    "run ...";

sf_status sf_cmd_run(int argc, char **argv)
{
    sf_run_options o = { .ensembles = true, .checkpoint_seconds = 300, .stop = sf_cli_stop_asked };
    double max_hours = 0;
    sf_settings_default(&o.settings);
    const char *dataset = NULL, *recipe = "paper", *groups = NULL, *preset = NULL, *splits = NULL,
               *variant = "none";
    sf_arg_list spacing = { 0 };
    char work[SF_PATH_MAX];
    int64_t seed = 0, threads = 0;
    bool no_mirroring = false, no_ensembles = false, done = false;
    const char *conv = "fast", *precision = "fp32";
    sf_settings *s = &o.settings;
    sf_arg args[] = {
        SF_ARG("DATASET", 0, STR, &dataset, NULL, SF_CLI_DATASET, .positional = true,
               .required = true),
        SF_ARG("work", 'w', STR, &o.work, "DIR", SF_CLI_WORK),
        SF_ARG("recipe", 0, STR, &recipe, "NAME|FILE", "paper (default), nnunetv2, or a JSON file"),
        SF_ARG("configs", 'c', STR, &o.configs, "LIST",
               "2d,3d_fullres,...; default: all of the plan"),
        SF_ARG("folds", 'f', STR, &o.folds, "all|LIST", "folds to train; default all"),
        SF_ARG("num-folds", 0, INT, &s->num_folds, "N", "folds of the cross-validation; default 5"),
        SF_ARG("epochs", 0, INT, &s->epochs, "N", "default: the recipe's 1000", .positive = true),
        SF_ARG("iterations", 0, INT, &s->iterations, "N", "training steps per epoch; default 250",
               .positive = true),
        SF_ARG("batch-size", 0, INT, &s->batch, "B", "default: the plan's", .positive = true),
        SF_ARG("seed", 0, INT, &seed, "S", "of initial weights, sampling, augmentation; default 0"),
        SF_ARG("threads", 't', INT, &threads, "T",
               "per rank; default: this rank's share of the processors", .positive = true),
        SF_ARG("layout", 0, STR, &o.layout, "auto|NxM,...",
               "N groups of M ranks, each shares a training; default auto: by cost"),
        SF_ARG("no-regroup", 0, FLAG, &o.no_regroup, NULL,
               "ranks that run out of tasks do not join running trainings"),
        SF_ARG("cache", 0, STR, &o.cache, "auto|shared|map",
               "cases in memory that a node's ranks share; default auto: on network disks"),
        SF_ARG("stage", 0, STR, &o.stage, "DIR|tmpdir",
               "copy the preprocessed data to this folder of each node while it trains"),
        SF_ARG("mpi-io-hints", 0, STR, &o.io_hints, "FILE",
               "MPI-IO hints for the parallel writer: KEY=VALUE lines, or JSON"),
        SF_ARG("memory-gb", 0, REAL, &s->memory_gb, "G",
               "planner's memory budget; default: the recipe's 8", .positive = true),
        SF_ARG("preset", 0, STR, &preset, "NAME|FILE",
               "planner: ResEncM, ResEncL, ResEncXL, torchres, ..., or a JSON file"),
        SF_ARG("spacing", 0, LIST, &spacing, "Z Y X",
               "planner: target spacing in mm, in the axis order of the files"),
        SF_ARG("groups", 0, STR, &groups, "FILE",
               "'CASE GROUP' per line: cases of one group stay in one fold"),
        SF_ARG("splits", 0, STR, &splits, "FILE",
               "folds as splits_final.json; default: the dataset's file, else made"),
        SF_ARG("variant", 0, STR, &variant, "NAME|FILE", "change the recipe's training; see below"),
        SF_ARG("conv", 0, STR, &conv, "fast|exact", "convolution kernels; default fast"),
        SF_ARG("precision", 0, STR, &precision, "fp32|bf16", SF_CLI_PRECISION),
        SF_ARG("no-mirroring", 0, FLAG, &no_mirroring, NULL,
               "neither in augmentation nor in inference"),
        SF_ARG("no-ensembles", 0, FLAG, &no_ensembles, NULL, "choose among single models only"),
        SF_ARG("checkpoint-seconds", 0, REAL, &o.checkpoint_seconds, "S",
               "write checkpoint_latest at least so often; default 300; 0: by epochs only"),
        SF_CLI_MAX_HOURS(&max_hours),
        SF_ARG_END,
    };
    const sf_arg_table table = {
        "run", "everything in order: from a dataset to a chosen model and predictions", details,
        args
    };
    SF_TRY(sf_cli_parse(&table, argc, argv, &done));
    if (done) return sf_cli_print_variants();
    SF_CHECK(seed >= 0, SF_EINVAL, "--seed must be >= 0");
    SF_CHECK(o.checkpoint_seconds >= 0, SF_EINVAL, "--checkpoint-seconds must not be negative");
    sf_cli_stop_after(max_hours);
    SF_CHECK(s->num_folds >= 2 && s->num_folds <= 1000, SF_EINVAL, "--num-folds must be 2..1000");
    SF_CHECK(s->epochs >= 0 && s->iterations >= 0 && s->batch >= 0 && threads >= 0 &&
                 s->memory_gb >= 0,
             SF_EINVAL,
             "--epochs, --iterations, --batch-size, --threads, --memory-gb must not be negative");
    SF_CHECK(strcmp(conv, "fast") == 0 || strcmp(conv, "exact") == 0, SF_EINVAL,
             "--conv must be fast or exact, not '%s'", conv);
    SF_TRY(sf_precision_of(&s->precision, precision));
    /* a folder may be missing on one host alone: all ranks hear of it */
    sf_status st = sf_cli_dataset(s->dataset, dataset);
    if (st == SF_OK) st = sf_cli_work(work, o.work, s->dataset);
    if (st == SF_OK) st = sf_cli_recipe(s->recipe, recipe);
    if (st == SF_OK && groups) st = sf_cli_absolute(s->groups, groups);
    if (st == SF_OK && splits) st = sf_cli_absolute(s->splits, splits);
    if (st == SF_OK) st = sf_cli_variant(s->variant, variant);
    if (st == SF_OK && preset) st = sf_cli_recipe(s->preset, preset);
    if (st == SF_OK) st = sf_cli_spacing(s->spacing, &spacing);
    SF_TRY(sf_comm_agree(sf_comm_world(), st));
    o.work = work;
    s->seed = (uint64_t)seed;
    s->mirror = !no_mirroring;
    s->exact = strcmp(conv, "exact") == 0;
    o.ensembles = !no_ensembles;
    o.threads = (int)threads;
    SF_TRY(sf_run(sf_comm_world(), &o));
    if (sf_comm_rank(sf_comm_world()) != 0) return SF_OK;
    char *text = NULL;
    SF_TRY(sf_report_work(&text, o.work));
    fputs(text, stdout);
    sf_mem_free(text);
    return SF_OK;
}
