/* Commands on models: train, select, predict, evaluate. */
#include "base/log.h"
#include "base/mem.h"
#include "cli/command.h"
#include "evaluate/metrics.h"
#include "fleet/apply.h"
#include "fleet/threads.h"
#include "plan/splits.h"
#include "report/table.h"
#include <stdlib.h>
#include <string.h>

static sf_status fold_number(int *fold, const char *word)
{
    char *end;
    *fold = SF_FOLD_ALL;
    if (strcmp(word, "all") == 0) return SF_OK;
    const long v = strtol(word, &end, 10);
    SF_CHECK(*word && *end == 0 && v >= 0 && v < 1000, SF_EINVAL, "'%s' is not a fold number",
             word);
    *fold = (int)v;
    return SF_OK;
}

sf_status sf_cmd_train(int argc, char **argv)
{
    sf_run_options o = { .ensembles = true, .checkpoint_seconds = 300, .stop = sf_cli_stop_asked };
    const char *config = NULL, *fold_word = NULL;
    int64_t epochs = 0, iterations = 0, batch = 0, seed = 0, threads = 0;
    bool g_epochs = false, g_iter = false, g_batch = false, g_seed = false, no_mirroring = false,
         done = false;
    sf_arg args[] = { { .name = "work",
                        .letter = 'w',
                        .kind = SF_ARG_STR,
                        .value = &o.work,
                        .meta = "DIR",
                        .required = true,
                        .help = "work folder, preprocessed" },
                      { .name = "config",
                        .letter = 'c',
                        .kind = SF_ARG_STR,
                        .value = &config,
                        .meta = "NAME",
                        .required = true,
                        .help = "2d, 3d_fullres, ..." },
                      { .name = "fold",
                        .letter = 'f',
                        .kind = SF_ARG_STR,
                        .value = &fold_word,
                        .meta = "K|all",
                        .required = true,
                        .help = "fold number, or all = no validation cases left out" },
                      { .name = "epochs",
                        .kind = SF_ARG_INT,
                        .value = &epochs,
                        .given = &g_epochs,
                        .meta = "N",
                        .positive = true,
                        .help = "default: the work folder's, else the recipe's" },
                      { .name = "iterations",
                        .kind = SF_ARG_INT,
                        .value = &iterations,
                        .given = &g_iter,
                        .meta = "N",
                        .positive = true,
                        .help = "steps per epoch" },
                      { .name = "batch-size",
                        .kind = SF_ARG_INT,
                        .value = &batch,
                        .given = &g_batch,
                        .meta = "B",
                        .positive = true,
                        .help = "default: the plan's" },
                      { .name = "seed",
                        .kind = SF_ARG_INT,
                        .value = &seed,
                        .given = &g_seed,
                        .meta = "S",
                        .help = "default: the work folder's" },
                      { .name = "threads",
                        .letter = 't',
                        .kind = SF_ARG_INT,
                        .value = &threads,
                        .meta = "T",
                        .positive = true,
                        .help = "default: all processors of this rank" },
                      { .name = "no-mirroring",
                        .kind = SF_ARG_FLAG,
                        .value = &no_mirroring,
                        .help = "neither in augmentation nor in inference" },
                      { .name = NULL } };
    const sf_arg_table table = { "train",
                                 "train one configuration on one fold, continuing what is there",
                                 NULL, args };
    SF_TRY(sf_cli_parse(&table, argc, argv, &done));
    if (done) return SF_OK;
    int fold;
    SF_TRY(fold_number(&fold, fold_word));
    SF_TRY(sf_comm_agree(sf_comm_world(), sf_settings_load(&o.settings, o.work)));
    sf_settings *s = &o.settings;
    sf_settings kept = *s; /* what run.json says: only this training uses other values */
    if (g_epochs) s->epochs = epochs;
    if (g_iter) s->iterations = iterations;
    if (g_batch) s->batch = batch;
    if (g_seed) s->seed = (uint64_t)seed;
    if (no_mirroring) s->mirror = false;
    SF_CHECK(s->epochs >= 0 && s->iterations >= 0 && s->batch >= 0 && seed >= 0 && threads >= 0,
             SF_EINVAL, "numbers must not be negative");
    o.stored = &kept;
    o.threads = (int)threads;
    sf_cli_catch_signals();
    return sf_run_training(sf_comm_world(), &o, config, fold);
}

sf_status sf_cmd_select(int argc, char **argv)
{
    sf_run_options o = { .ensembles = true };
    bool no_ensembles = false, done = false;
    sf_arg args[] = { { .name = "work",
                        .letter = 'w',
                        .kind = SF_ARG_STR,
                        .value = &o.work,
                        .meta = "DIR",
                        .required = true,
                        .help = "work folder with trained folds" },
                      { .name = "configs",
                        .letter = 'c',
                        .kind = SF_ARG_STR,
                        .value = &o.configs,
                        .meta = "LIST",
                        .help = "default: all that are trained in all folds" },
                      { .name = "folds",
                        .letter = 'f',
                        .kind = SF_ARG_STR,
                        .value = &o.folds,
                        .meta = "all|LIST",
                        .help = "default all" },
                      { .name = "no-ensembles",
                        .kind = SF_ARG_FLAG,
                        .value = &no_ensembles,
                        .help = "choose among single models only" },
                      { .name = NULL } };
    const sf_arg_table table = {
        "select", "choose the best model or ensemble and its post-processing by cross-validation",
        NULL, args
    };
    SF_TRY(sf_cli_parse(&table, argc, argv, &done));
    if (done) return SF_OK;
    o.ensembles = !no_ensembles;
    SF_TRY(sf_comm_agree(sf_comm_world(), sf_settings_load(&o.settings, o.work)));
    SF_TRY(sf_run_selection(sf_comm_world(), &o));
    if (sf_comm_rank(sf_comm_world()) != 0) return SF_OK;
    char *text = NULL;
    SF_TRY(sf_report_work(&text, o.work));
    fputs(text, stdout);
    sf_mem_free(text);
    return SF_OK;
}

typedef struct {
    const char *model, *in, *out, *folds, *checkpoint, *previous;
    const char *probabilities_format;
    double step;
    int64_t threads, num_parts, part_id;
    bool no_mirroring, save_probabilities, keep;
} predict_words;

sf_status sf_cli_folds(int **fold, int *n, const char *list)
{
    *fold = NULL;
    *n = 0;
    if (!list || strcmp(list, "all") == 0) return SF_OK; /* every fold_* that is there */
    char **word = NULL;
    int count = 0;
    SF_TRY(sf_args_split(&word, &count, list));
    sf_status st = sf_mem_alloc(fold, (size_t)count, sizeof **fold, SF_MEM_MISC);
    for (int i = 0; i < count && st == SF_OK; i++) st = fold_number(&(*fold)[(*n)++], word[i]);
    sf_mem_free(word);
    return st;
}

static sf_status find_input(sf_dataset **d, sf_case **cases, int *n_cases, const predict_words *w)
{
    char json[SF_PATH_MAX];
    SF_TRY(sf_path_join(json, w->model, "dataset.json", NULL));
    SF_TRY(sf_dataset_from_json(d, json));
    return sf_cases_find(cases, n_cases, w->in, (*d)->file_ending, (*d)->n_channels);
}

/* cases[part_id::num_parts], as nnU-Net divides them. Moves them to the front. */
static int keep_part(sf_case *cases, int n, const predict_words *w)
{
    int kept = 0;
    for (int64_t i = w->part_id; i < n; i += w->num_parts) {
        const sf_case mine = cases[i];
        cases[i] = cases[kept];
        cases[kept++] = mine;
    }
    return kept;
}

static sf_status predict(const predict_words *w)
{
    sf_comm *world = sf_comm_world();
    sf_dataset *d = NULL;
    sf_case *cases = NULL;
    sf_probabilities_format format = SF_PROBABILITIES_NPZ;
    int n_cases = 0, n_mine = 0, *fold = NULL, n_folds = 0, threads = 1;
    sf_status st = sf_probabilities_parse(&format, w->probabilities_format);
    if (st == SF_OK) st = find_input(&d, &cases, &n_cases, w);
    if (st == SF_OK) st = sf_cli_folds(&fold, &n_folds, w->folds);
    SF_GOTO(end, st, sf_comm_agree(world, st));
    SF_GOTO(end, st, sf_threads_decide(&threads, world, (int)w->threads));
    const sf_apply_options o = { .model = { w->model },
                                 .n_models = 1,
                                 .previous_dir = w->previous,
                                 .folds = fold,
                                 .n_folds = n_folds,
                                 .checkpoint = w->checkpoint,
                                 .step = w->step,
                                 .mirror = !w->no_mirroring,
                                 .threads = threads,
                                 .save_probabilities = w->save_probabilities,
                                 .probabilities_format = format,
                                 .keep_existing = w->keep,
                                 .shared_folder = w->num_parts > 1 };
    n_mine = keep_part(cases, n_cases, w);
    SF_GOTO(end, st, sf_apply_cases(world, &o, cases, n_mine, w->out));
    if (sf_comm_rank(world) == 0) st = sf_apply_describe(&o, w->out);
    SF_GOTO(end, st, sf_comm_agree(world, st));
    if (sf_comm_rank(world) == 0) printf("%d cases segmented in %s\n", n_mine, w->out);
end:
    sf_mem_free(fold);
    sf_cases_free(&cases, n_cases);
    sf_dataset_destroy(&d);
    return st;
}

sf_status sf_cmd_predict(int argc, char **argv)
{
    predict_words w = { .checkpoint = "checkpoint_final",
                        .probabilities_format = "npz",
                        .num_parts = 1 };
    bool done = false;
    sf_arg args[] = { { .name = "model",
                        .letter = 'm',
                        .kind = SF_ARG_STR,
                        .value = &w.model,
                        .meta = "DIR",
                        .required = true,
                        .help =
                            "model folder: results/CONFIG, or nnU-Net's TRAINER__PLANS__CONFIG" },
                      { .name = "input",
                        .letter = 'i',
                        .kind = SF_ARG_STR,
                        .value = &w.in,
                        .meta = "DIR",
                        .required = true,
                        .help = "images CASE_0000.ending, one file per channel" },
                      { .name = "output",
                        .letter = 'o',
                        .kind = SF_ARG_STR,
                        .value = &w.out,
                        .meta = "DIR",
                        .required = true,
                        .help = "segmentations CASE.ending" },
                      { .name = "folds",
                        .letter = 'f',
                        .kind = SF_ARG_STR,
                        .value = &w.folds,
                        .meta = "all|LIST",
                        .help = "default all folds that are there" },
                      { .name = "previous-stage",
                        .kind = SF_ARG_STR,
                        .value = &w.previous,
                        .meta = "DIR",
                        .help = "first stage's segmentations; default: that model is run" },
                      { .name = "checkpoint",
                        .kind = SF_ARG_STR,
                        .value = &w.checkpoint,
                        .meta = "NAME",
                        .help = "checkpoint_final (default) or checkpoint_best" },
                      { .name = "step",
                        .kind = SF_ARG_REAL,
                        .value = &w.step,
                        .meta = "X",
                        .positive = true,
                        .help = "tile step as a part of the patch; default 0.5" },
                      { .name = "threads",
                        .letter = 't',
                        .kind = SF_ARG_INT,
                        .value = &w.threads,
                        .meta = "T",
                        .positive = true,
                        .help = "per rank; default: this rank's share" },
                      { .name = "no-mirroring",
                        .kind = SF_ARG_FLAG,
                        .value = &w.no_mirroring,
                        .help = "one pass per tile" },
                      { .name = "save-probabilities",
                        .kind = SF_ARG_FLAG,
                        .value = &w.save_probabilities,
                        .help = "also write CASE.npz (nnU-Net's form) and CASE.json" },
                      { .name = "probabilities-format",
                        .kind = SF_ARG_STR,
                        .value = &w.probabilities_format,
                        .meta = "npz|h5",
                        .help = "default npz; h5 = CASE.h5, faster and checksummed" },
                      { .name = "continue",
                        .kind = SF_ARG_FLAG,
                        .value = &w.keep,
                        .help = "keep finished cases; default: predict all anew" },
                      { .name = "num-parts",
                        .kind = SF_ARG_INT,
                        .value = &w.num_parts,
                        .meta = "N",
                        .help = "the input is divided among N calls; default 1" },
                      { .name = "part-id",
                        .kind = SF_ARG_INT,
                        .value = &w.part_id,
                        .meta = "I",
                        .help = "this call takes cases I, I+N, I+2N, ...; default 0" },
                      { .name = NULL } };
    const sf_arg_table table = {
        "predict", "segment new images with a trained model; cases are spread over the ranks", NULL,
        args
    };
    SF_TRY(sf_cli_parse(&table, argc, argv, &done));
    if (done) return SF_OK;
    SF_CHECK(w.step >= 0 && w.step <= 1 && w.threads >= 0, SF_EINVAL,
             "--step must be above 0 and at most 1, --threads not negative");
    SF_CHECK(w.num_parts >= 1 && w.part_id >= 0 && w.part_id < w.num_parts, SF_EINVAL,
             "--part-id must be 0..%lld (--num-parts %lld)", (long long)w.num_parts - 1,
             (long long)w.num_parts);
    return predict(&w);
}

static sf_status print_summary(const sf_summary *s, const sf_labels *labels)
{
    sf_table *t = NULL;
    char *text = NULL;
    sf_status st;
    SF_GOTO(end, st, sf_table_create(&t, 2));
    SF_GOTO(end, st, sf_table_cell(t, "label"));
    SF_GOTO(end, st, sf_table_cell(t, "mean Dice"));
    for (int e = 0; e < labels->n_eval; e++) {
        SF_GOTO(end, st, sf_table_cell(t, "%s %s", labels->eval[e].key, labels->eval[e].name));
        SF_GOTO(end, st, sf_table_cell(t, "%.4f", s->mean_dice[e]));
    }
    SF_GOTO(end, st, sf_table_cell(t, "foreground mean"));
    SF_GOTO(end, st, sf_table_cell(t, "%.4f", s->foreground_dice));
    SF_GOTO(end, st, sf_table_text(&text, t));
    fputs(text, stdout);
end:
    sf_mem_free(text);
    sf_table_destroy(&t);
    return st;
}

sf_status sf_cmd_evaluate(int argc, char **argv)
{
    const char *pred = NULL, *ref = NULL, *out = NULL, *dataset_json = NULL;
    bool chill = false, done = false;
    sf_arg args[] = { { .name = "pred",
                        .letter = 'p',
                        .kind = SF_ARG_STR,
                        .value = &pred,
                        .meta = "DIR",
                        .required = true,
                        .help = "segmentations" },
                      { .name = "ref",
                        .letter = 'r',
                        .kind = SF_ARG_STR,
                        .value = &ref,
                        .meta = "DIR",
                        .required = true,
                        .help = "reference labels of the same names" },
                      { .name = "dataset-json",
                        .letter = 'd',
                        .kind = SF_ARG_STR,
                        .value = &dataset_json,
                        .meta = "FILE",
                        .help = "labels; default: dataset.json in or above REF, or in PRED" },
                      { .name = "output",
                        .letter = 'o',
                        .kind = SF_ARG_STR,
                        .value = &out,
                        .meta = "FILE",
                        .required = true,
                        .help = "summary.json to write" },
                      { .name = "chill",
                        .kind = SF_ARG_FLAG,
                        .value = &chill,
                        .help = "references without a segmentation are left out" },
                      { .name = NULL } };
    const sf_arg_table table = { "evaluate", "compare segmentations with references", NULL, args };
    SF_TRY(sf_cli_parse(&table, argc, argv, &done));
    if (done) return SF_OK;
    char guess[3][SF_PATH_MAX];
    SF_TRY(sf_path_join(guess[0], ref, "dataset.json", NULL));
    SF_TRY(sf_path_join(guess[1], ref, "../dataset.json", NULL));
    SF_TRY(sf_path_join(guess[2], pred, "dataset.json", NULL));
    for (int i = 0; i < 3 && !dataset_json; i++) {
        if (sf_path_is_file(guess[i])) dataset_json = guess[i];
    }
    SF_CHECK(dataset_json, SF_EINVAL, "no dataset.json near %s: give --dataset-json", ref);
    sf_dataset *d = NULL;
    sf_summary *s = NULL;
    sf_status st;
    SF_GOTO(end, st, sf_dataset_from_json(&d, dataset_json));
    SF_GOTO(end, st,
            sf_evaluate_folders(&s, ref, pred, d->file_ending, &d->labels, chill,
                                sf_threads_available()));
    SF_GOTO(end, st, sf_summary_save(s, &d->labels, out));
    SF_GOTO(end, st, print_summary(s, &d->labels));
end:
    sf_summary_destroy(&s);
    sf_dataset_destroy(&d);
    return st;
}
