/** What all commands share. A command parses its words, calls the libraries and prints results to
 * stdout. */
#ifndef SF_CLI_COMMAND_H
#define SF_CLI_COMMAND_H
#include "base/args.h"
#include "fleet/run.h"
#include "mpi/comm.h"

/** argv[0] is the command's name. */
typedef sf_status sf_command_fn(int argc, char **argv);

sf_command_fn sf_cmd_verify, sf_cmd_fingerprint, sf_cmd_plan, sf_cmd_preprocess, sf_cmd_train,
    sf_cmd_predict, sf_cmd_evaluate, sf_cmd_select, sf_cmd_run, sf_cmd_phantom, sf_cmd_info,
    sf_cmd_bench, sf_cmd_convert, sf_cmd_ensemble, sf_cmd_determine, sf_cmd_postprocess,
    sf_cmd_accumulate, sf_cmd_instances, sf_cmd_estimate;

/** Measurements of `bench`; argv[0] is the measurement's name. */
sf_command_fn sf_bench_augment_words, sf_bench_preprocess_words;

/** Parse; on --help print it and set *done. */
sf_status sf_cli_parse(const sf_arg_table *t, int argc, char **argv, bool *done);
/** Absolute form of a path that exists. SF_EINVAL names it otherwise. */
sf_status sf_cli_absolute(char out[SF_PATH_MAX], const char *path);
/** Folder of a DATASET word, absolute: a path, or a number or name in nnUNet_raw
 *  (plan/dataset_id.h). */
sf_status sf_cli_dataset(char out[SF_PATH_MAX], const char *word);
#define SF_CLI_DATASET "dataset folder, or its number or name in nnUNet_raw"
/** The work folder: as given, or NULL = nnUNet_results/DatasetXXX_Name/segfleet. */
sf_status sf_cli_work(char out[SF_PATH_MAX], const char *given, const char *dataset_dir);
/** The help of --precision where fp32 is the default. */
#define SF_CLI_PRECISION "tensors between layers in memory; default fp32"
#define SF_CLI_WORK      "work folder, made when missing; default: in nnUNet_results"
/** "paper", "nnunetv2", or the absolute form of a file. */
sf_status sf_cli_recipe(char out[SF_PATH_MAX], const char *name);
/** The same for a variant; "none" is "". */
sf_status sf_cli_variant(char out[SF_PATH_MAX], const char *name);
/** Print the shipped variants, after a help text. */
sf_status sf_cli_print_variants(void);
/** --spacing: no word, or three numbers in mm. SF_EINVAL says what is wrong; without words `out`
 *  stays. */
sf_status sf_cli_spacing(double out[3], const sf_arg_list *words);
/** "0,2" -> fold numbers; NULL or "all" -> *fold NULL: every fold there is. Caller frees *fold with
 * sf_mem_free. */
sf_status sf_cli_folds(int **fold, int *n, const char *list);
/** SIGTERM, SIGINT, SIGUSR1 ask trainings to write a checkpoint and stop. Call it first of all: no
 * early signal ends the process then, and the hours are counted from here. */
void sf_cli_catch_signals(void);
/** The same when so many hours are nearly over; 0: never. */
void sf_cli_stop_after(double hours);
#define SF_CLI_MAX_HOURS(to)                                                                       \
    SF_ARG("max-hours", 0, REAL, (to), "H",                                                        \
           "stop before H hours are over: checkpoints, exit code 75, run again to continue",       \
           .positive = true)
/** For sf_run_options.stop: true after a signal, or when the longest of the last few spells between
 * two calls (a step with its checkpoint, a case) would not fit twice into what is left of the
 * hours, less a fifth of them or a minute for the way out. One thread only. */
bool sf_cli_stop_asked(void *unused);

#endif
