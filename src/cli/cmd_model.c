/* Commands on models: train, select, predict. */
#include "base/log.h"
#include "base/mem.h"
#include "cli/command.h"
#include "evaluate/metrics.h"
#include "fleet/apply.h"
#include "fleet/inputs.h"
#include "fleet/threads.h"
#include "plan/splits.h"
#include "report/table.h"
#include <stdlib.h>
#include <string.h>

static sf_status fold_number(int *fold, const char *word)
{
    char *end;
    *fold = SF_FOLD_ALL;
    if (strcmp(word, "all") == 0 || strcmp(word, "fold_all") == 0) return SF_OK;
    const long v = strtol(word, &end, 10);
    SF_CHECK(*word && *end == 0 && v >= 0 && v < 1000, SF_EINVAL, "'%s' is not a fold number",
             word);
    *fold = (int)v;
    return SF_OK;
}

sf_status sf_cmd_train(int argc, char **argv)
{
    sf_run_options o = { .ensembles = true, .checkpoint_seconds = 300, .stop = sf_cli_stop_asked };
    const char *config = NULL, *fold_word = NULL, *variant = NULL, *precision = NULL;
    double max_hours = 0;
    int64_t epochs = 0, iterations = 0, batch = 0, seed = 0, threads = 0;
    bool g_epochs = false, g_iter = false, g_batch = false, g_seed = false, no_mirroring = false,
         validate = false, validate_best = false, done = false;
    sf_arg args[] = {
        SF_ARG("work", 'w', STR, &o.work, "DIR", "work folder, preprocessed", .required = true),
        SF_ARG("config", 'c', STR, &config, "NAME", "2d, 3d_fullres, ...", .required = true),
        SF_ARG("fold", 'f', STR, &fold_word, "K|all",
               "fold number, or all = no validation cases left out", .required = true),
        SF_ARG("epochs", 0, INT, &epochs, "N", "default: the work folder's, else the recipe's",
               .given = &g_epochs, .positive = true),
        SF_ARG("iterations", 0, INT, &iterations, "N", "steps per epoch", .given = &g_iter,
               .positive = true),
        SF_ARG("batch-size", 0, INT, &batch, "B", "default: the plan's", .given = &g_batch,
               .positive = true),
        SF_ARG("seed", 0, INT, &seed, "S", "default: the work folder's", .given = &g_seed),
        SF_ARG("threads", 't', INT, &threads, "T", "default: all processors of this rank",
               .positive = true),
        SF_ARG("cache", 0, STR, &o.cache, "auto|shared|map",
               "cases in memory that a node's ranks share; default auto: on network disks"),
        SF_ARG("stage", 0, STR, &o.stage, "DIR|tmpdir",
               "copy the preprocessed data to this folder of each node while it trains"),
        SF_ARG("no-mirroring", 0, FLAG, &no_mirroring, NULL,
               "neither in augmentation nor in inference"),
        SF_ARG("variant", 0, STR, &variant, "NAME|FILE",
               "default: the work folder's; none, or see below"),
        SF_ARG("precision", 0, STR, &precision, "fp32|bf16",
               "tensors between layers in memory; default: the work folder's"),
        SF_ARG("pretrained", 0, STR, &o.pretrained, "FILE",
               "start from these weights: checkpoint_*.h5 or nnU-Net's .pth"),
        SF_ARG("val", 0, FLAG, &validate, NULL, "only validate checkpoint_final.h5, anew"),
        SF_ARG("val-best", 0, FLAG, &validate_best, NULL,
               "only validate checkpoint_best.h5, into validation_best"),
        SF_ARG("disable-checkpointing", 0, FLAG, &o.no_checkpoints, NULL,
               "write no checkpoint: for measurements, the weights are lost"),
        SF_ARG("checkpoint-seconds", 0, REAL, &o.checkpoint_seconds, "S",
               "write checkpoint_latest at least so often; default 300; 0: by epochs only"),
        SF_CLI_MAX_HOURS(&max_hours),
        SF_ARG_END,
    };
    const sf_arg_table table = { "train",
                                 "train one configuration on one fold, continuing what is there",
                                 NULL, args };
    SF_TRY(sf_cli_parse(&table, argc, argv, &done));
    if (done) return sf_cli_print_variants();
    int fold;
    SF_TRY(fold_number(&fold, fold_word));
    SF_CHECK(o.checkpoint_seconds >= 0, SF_EINVAL, "--checkpoint-seconds must not be negative");
    sf_cli_stop_after(max_hours);
    SF_CHECK(validate + validate_best + (o.pretrained != NULL) <= 1, SF_EINVAL,
             "--val, --val-best and --pretrained exclude each other");
    o.part = validate ? SF_TRAIN_VALIDATE : validate_best ? SF_TRAIN_VALIDATE_BEST : SF_TRAIN_WHOLE;
    SF_TRY(sf_comm_agree(sf_comm_world(), sf_settings_load(&o.settings, o.work)));
    sf_settings *s = &o.settings;
    sf_settings kept = *s; /* what run.json says: only this training uses other values */
    if (g_epochs) s->epochs = epochs;
    if (g_iter) s->iterations = iterations;
    if (g_batch) s->batch = batch;
    if (g_seed) s->seed = (uint64_t)seed;
    if (no_mirroring) s->mirror = false;
    if (precision) SF_TRY(sf_precision_of(&s->precision, precision));
    if (variant) SF_TRY(sf_comm_agree(sf_comm_world(), sf_cli_variant(s->variant, variant)));
    SF_CHECK(s->epochs >= 0 && s->iterations >= 0 && s->batch >= 0 && seed >= 0 && threads >= 0,
             SF_EINVAL, "numbers must not be negative");
    o.stored = &kept;
    o.threads = (int)threads;
    return sf_run_training(sf_comm_world(), &o, config, fold);
}

sf_status sf_cmd_select(int argc, char **argv)
{
    sf_run_options o = { .ensembles = true };
    bool no_ensembles = false, done = false;
    sf_arg args[] = {
        SF_ARG("work", 'w', STR, &o.work, "DIR", "work folder with trained folds",
               .required = true),
        SF_ARG("configs", 'c', STR, &o.configs, "LIST",
               "default: all that are trained in all folds"),
        SF_ARG("folds", 'f', STR, &o.folds, "all|LIST", "default all"),
        SF_ARG("no-ensembles", 0, FLAG, &no_ensembles, NULL, "choose among single models only"),
        SF_ARG_END,
    };
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
    const char *model, *out, *folds, *checkpoint, *previous;
    const char *probabilities_format, *precision;
    sf_arg_list in;
    double step;
    int64_t threads, num_parts, part_id;
    bool no_mirroring, save_probabilities, keep, overwrite;
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
    return sf_inputs_find(cases, n_cases, w->in.item, w->in.count, *d);
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
    sf_dtype precision = SF_F32;
    int n_cases = 0, n_mine = 0, *fold = NULL, n_folds = 0, threads = 1;
    sf_status st = sf_probabilities_parse(&format, w->probabilities_format);
    if (st == SF_OK) st = find_input(&d, &cases, &n_cases, w);
    if (st == SF_OK) st = sf_cli_folds(&fold, &n_folds, w->folds);
    if (st == SF_OK) st = sf_precision_of(&precision, w->precision);
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
                                 .precision = precision,
                                 .threads = threads,
                                 .save_probabilities = w->save_probabilities,
                                 .probabilities_format = format,
                                 .keep_existing = w->keep,
                                 .describe = true,
                                 .shared_folder = w->num_parts > 1 };
    n_mine = keep_part(cases, n_cases, w);
    SF_GOTO(end, st, sf_apply_cases(world, &o, cases, n_mine, w->out));
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
                        .precision = "fp32",
                        .num_parts = 1 };
    bool done = false;
    sf_arg args[] = {
        SF_ARG("model", 'm', STR, &w.model, "DIR",
               "model folder: results/CONFIG, or nnU-Net's TRAINER__PLANS__CONFIG",
               .required = true),
        SF_ARG("input", 'i', LIST, &w.in, "DIR|FILE...",
               "folder of images CASE_0000.ending, one file per channel; or such files",
               .required = true),
        SF_ARG("output", 'o', STR, &w.out, "DIR", "segmentations CASE.ending", .required = true),
        SF_ARG("folds", 'f', STR, &w.folds, "all|LIST",
               "default all folds that are there; fold_all = the one trained on all cases"),
        SF_ARG("previous-stage", 0, STR, &w.previous, "DIR",
               "first stage's segmentations; default: that model is run"),
        SF_ARG("checkpoint", 0, STR, &w.checkpoint, "NAME",
               "checkpoint_final (default) or checkpoint_best"),
        SF_ARG("step", 0, REAL, &w.step, "X", "tile step as a part of the patch; default 0.5",
               .positive = true),
        SF_ARG("threads", 't', INT, &w.threads, "T", "per rank; default: this rank's share",
               .positive = true),
        SF_ARG("no-mirroring", 0, FLAG, &w.no_mirroring, NULL, "one pass per tile"),
        SF_ARG("precision", 0, STR, &w.precision, "fp32|bf16", SF_CLI_PRECISION),
        SF_ARG("save-probabilities", 0, FLAG, &w.save_probabilities, NULL,
               "also write CASE.npz (nnU-Net's form) and CASE.json"),
        SF_ARG("probabilities-format", 0, STR, &w.probabilities_format, "npz|h5",
               "default npz; h5 = CASE.h5, faster and checksummed"),
        SF_ARG("continue", 0, FLAG, &w.keep, NULL, "keep finished cases of the same options"),
        SF_ARG("overwrite", 0, FLAG, &w.overwrite, NULL,
               "predict all cases anew; the default, so it only refuses --continue"),
        SF_ARG("num-parts", 0, INT, &w.num_parts, "N",
               "the input is divided among N calls; default 1"),
        SF_ARG("part-id", 0, INT, &w.part_id, "I",
               "this call takes cases I, I+N, I+2N, ...; default 0"),
        SF_ARG_END,
    };
    const sf_arg_table table = {
        "predict", "segment new images with a trained model; cases are spread over the ranks", NULL,
        args
    };
    SF_TRY(sf_cli_parse(&table, argc, argv, &done));
    if (done) return SF_OK;
    SF_CHECK(w.step >= 0 && w.step <= 1 && w.threads >= 0, SF_EINVAL,
             "--step must be above 0 and at most 1, --threads not negative");
    SF_CHECK(!w.keep || !w.overwrite, SF_EINVAL,
             "--continue keeps finished cases, --overwrite does not: give one of them");
    SF_CHECK(w.num_parts >= 1 && w.part_id >= 0 && w.part_id < w.num_parts, SF_EINVAL,
             "--part-id must be 0..%lld (--num-parts %lld)", (long long)w.num_parts - 1,
             (long long)w.num_parts);
    return predict(&w);
}
