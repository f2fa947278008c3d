/* Commands on datasets: verify, fingerprint, plan, preprocess, phantom. */
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/command.h"
#include "fleet/stages.h"
#include "image/phantom.h"
#include "plan/planner.h"
#include <string.h>

/* Every problem of every case on standard output. @return the number of cases that have some */
static int verify_cases(int64_t *seen, const sf_dataset *d)
{
    int bad = 0;
    sf_progress *progress = sf_progress_begin("verify", d->n_train);
    for (int i = 0; i < d->n_train; i++) {
        char *problem = NULL;
        const sf_status st = sf_dataset_verify_case(d, &d->train[i], &problem, seen);
        if (st != SF_OK) {
            bad++;
            printf("%s\n", problem ? problem : sf_error_text());
        }
        sf_mem_free(problem);
        sf_progress_step(progress, i + 1);
    }
    sf_progress_end(&progress);
    return bad;
}

static sf_status verify(const char *dir)
{
    sf_dataset *d = NULL;
    char *text = NULL;
    int64_t *seen = NULL;
    sf_status st = SF_OK;
    SF_TRY(sf_dataset_load(&d, dir));
    if (sf_dataset_orientations(d, &text) == SF_OK)
        printf("orientations: %s\n", text); /* unreadable headers are told case by case */
    sf_mem_free(text);
    text = NULL;
    SF_GOTO(done, st, sf_mem_calloc(&seen, (size_t)d->labels.n_labels, sizeof *seen, SF_MEM_MISC));
    const int bad = verify_cases(seen, d);
    SF_CHECK_GOTO(done, st, bad == 0, SF_EDATA, "%s: %d of %d cases have problems", dir, bad,
                  d->n_train);
    st = sf_dataset_verify_labels(&text, d, seen);
    if (text) fputs(text, stdout);
    if (st == SF_OK)
        printf("%s: %d cases, %s\n", dir, d->n_train,
               text ? "sound files, but labels without voxels" : "no problem found");
done:
    sf_mem_free(text);
    sf_mem_free(seen);
    sf_dataset_destroy(&d);
    return st;
}

sf_status sf_cmd_verify(int argc, char **argv)
{
    const char *word = NULL;
    char dir[SF_PATH_MAX];
    bool done = false;
    sf_arg args[] = {
        SF_ARG("DATASET", 0, STR, &word, NULL, SF_CLI_DATASET, .positional = true,
               .required = true),
        SF_ARG_END,
    };
    const sf_arg_table table = {
        "verify", "check a dataset folder: files, labels, shapes, spacings, finite voxels", NULL,
        args
    };
    SF_TRY(sf_cli_parse(&table, argc, argv, &done));
    if (done) return SF_OK;
    SF_TRY(sf_cli_dataset(dir, word));
    return verify(dir);
}

sf_status sf_cmd_fingerprint(int argc, char **argv)
{
    const char *word = NULL, *out = NULL, *recipe = "paper";
    char dir[SF_PATH_MAX];
    bool done = false;
    sf_arg args[] = {
        SF_ARG("DATASET", 0, STR, &word, NULL, SF_CLI_DATASET, .positional = true,
               .required = true),
        SF_ARG("output", 'o', STR, &out, "FILE", "fingerprint file to write", .required = true),
        SF_ARG("recipe", 0, STR, &recipe, "NAME|FILE", "paper (default), nnunetv2, or a JSON file"),
        SF_ARG_END,
    };
    const sf_arg_table table = { "fingerprint", "shapes, spacings and intensities of a dataset",
                                 NULL, args };
    SF_TRY(sf_cli_parse(&table, argc, argv, &done));
    if (done) return SF_OK;
    sf_dataset *d = NULL;
    sf_recipe *r = NULL;
    sf_status st;
    st = sf_cli_dataset(dir, word);
    if (st == SF_OK) st = sf_dataset_load(&d, dir);
    if (st == SF_OK) st = sf_recipe_load(&r, recipe);
    SF_GOTO(end, st, sf_comm_agree(sf_comm_world(), st));
    /* asked for anew: the stage itself keeps what is there */
    if (sf_comm_rank(sf_comm_world()) == 0) st = sf_path_remove(out);
    SF_GOTO(end, st, sf_comm_agree(sf_comm_world(), st));
    SF_GOTO(end, st, sf_stage_fingerprint(sf_comm_world(), d, r, out));
end:
    sf_recipe_destroy(&r);
    sf_dataset_destroy(&d);
    return st;
}

typedef struct {
    const char *dataset, *fingerprint, *dataset_json, *recipe, *preset, *out, *explain_out;
    const char *plans_name;
    sf_arg_list spacing_words;
    double memory_gb, spacing[3];
    bool explain;
} plan_words;

static sf_status fingerprint_of(sf_fingerprint **f, sf_dataset **d, const sf_recipe *r,
                                const plan_words *w)
{
    if (w->fingerprint) {
        SF_TRY(sf_dataset_from_json(d, w->dataset_json));
        return sf_fingerprint_load(f, w->fingerprint);
    }
    char dir[SF_PATH_MAX];
    SF_TRY(sf_cli_dataset(dir, w->dataset));
    SF_TRY(sf_dataset_load(d, dir));
    return sf_fingerprint_compute(f, *d, r, 0);
}

static sf_status write_explanation(const json_t *explain, const char *json_path)
{
    char *text = NULL;
    SF_TRY(sf_planner_explain_text(&text, explain));
    fputs(text, stdout);
    sf_mem_free(text);
    return json_path ? sf_json_save(explain, json_path, 4, false) : SF_OK;
}

/* What is in the file already and not of this planning stays. */
static sf_status keep_foreign(json_t *plans, const char *file)
{
    json_t *old = NULL;
    if (!sf_path_is_file(file)) return SF_OK;
    SF_TRY(sf_json_load(&old, file));
    const sf_status st = sf_planner_keep_foreign(plans, old, file);
    json_decref(old);
    return st;
}

static sf_status plan(const plan_words *w)
{
    sf_dataset *d = NULL;
    sf_recipe *r = NULL;
    sf_fingerprint *f = NULL;
    json_t *plans = NULL, *explain = NULL;
    const sf_planner_options o = { .memory_gb = w->memory_gb,
                                   .preset = w->preset,
                                   .spacing = w->spacing_words.count ? w->spacing : NULL,
                                   .plans_name = w->plans_name };
    sf_status st;
    SF_GOTO(end, st, sf_recipe_load(&r, w->recipe));
    SF_GOTO(end, st, fingerprint_of(&f, &d, r, w));
    SF_GOTO(end, st, sf_planner_run(&plans, &explain, f, d, r, &o));
    SF_GOTO(end, st, keep_foreign(plans, w->out));
    SF_GOTO(end, st, sf_json_save(plans, w->out, 4, false));
    if (w->explain || w->explain_out) SF_GOTO(end, st, write_explanation(explain, w->explain_out));
end:
    json_decref(plans);
    json_decref(explain);
    sf_fingerprint_destroy(&f);
    sf_recipe_destroy(&r);
    sf_dataset_destroy(&d);
    return st;
}

sf_status sf_cmd_plan(int argc, char **argv)
{
    plan_words w = { .recipe = "paper" };
    bool done = false;
    sf_arg args[] = {
        SF_ARG("DATASET", 0, STR, &w.dataset, NULL,
               SF_CLI_DATASET "; or give --fingerprint and --dataset-json", .positional = true),
        SF_ARG("fingerprint", 0, STR, &w.fingerprint, "FILE", "plan from this fingerprint alone"),
        SF_ARG("dataset-json", 0, STR, &w.dataset_json, "FILE",
               "dataset.json that belongs to --fingerprint"),
        SF_ARG("recipe", 0, STR, &w.recipe, "NAME|FILE",
               "paper (default), nnunetv2, or a JSON file"),
        SF_ARG("preset", 0, STR, &w.preset, "NAME|FILE",
               "ResEncM, ResEncL, ResEncXL, torchres, ... (docs/recipes.md), or a JSON file"),
        SF_ARG("spacing", 0, LIST, &w.spacing_words, "Z Y X",
               "target spacing in mm, in the axis order of the files; default: by the recipe"),
        SF_ARG("plans-name", 0, STR, &w.plans_name, "NAME", "default: nnU-Net's for the preset"),
        SF_ARG("memory-gb", 0, REAL, &w.memory_gb, "G",
               "memory budget of one patch batch; default: the recipe's", .positive = true),
        SF_ARG("explain", 0, FLAG, &w.explain, NULL,
               "print every decision with its rule, inputs and result"),
        SF_ARG("explain-json", 0, STR, &w.explain_out, "FILE", "the same as JSON"),
        SF_ARG("output", 'o', STR, &w.out, "FILE", "plans file to write", .required = true),
        SF_ARG_END,
    };
    const sf_arg_table table = { "plan", "derive all configurations from a fingerprint", NULL,
                                 args };
    SF_TRY(sf_cli_parse(&table, argc, argv, &done));
    if (done) return SF_OK;
    SF_CHECK(w.dataset || (w.fingerprint && w.dataset_json), SF_EINVAL,
             "plan: give DATASET, or both --fingerprint and --dataset-json");
    SF_CHECK(!w.dataset || !w.fingerprint, SF_EINVAL,
             "plan: DATASET and --fingerprint exclude each other");
    SF_TRY(sf_cli_spacing(w.spacing, &w.spacing_words));
    sf_status st = sf_comm_rank(sf_comm_world()) == 0 ? plan(&w) : SF_OK;
    return sf_comm_agree(sf_comm_world(), st);
}

/* Plans carry the recipe that made them: run.json names it. `asked` (may be NULL) must be the same.
 */
static sf_status recipe_of(char out[SF_PATH_MAX], const char *plans_file, const char *asked)
{
    sf_plans *p = NULL;
    sf_recipe *r = NULL;
    sf_status st;
    SF_GOTO(end, st, sf_plans_load(&p, plans_file));
    if (asked) SF_GOTO(end, st, sf_recipe_load(&r, asked));
    SF_CHECK_GOTO(end, st, !r || strcmp(r->name, p->recipe->name) == 0, SF_EINVAL,
                  "%s was planned with recipe %s: leave --recipe out, or plan again", plans_file,
                  p->recipe->name);
    SF_GOTO(end, st, sf_cli_recipe(out, asked ? asked : p->recipe->name));
end:
    sf_recipe_destroy(&r);
    sf_plans_destroy(&p);
    return st;
}

sf_status sf_cmd_preprocess(int argc, char **argv)
{
    sf_run_options o = { 0 };
    const char *dataset = NULL, *plans = NULL, *recipe = NULL, *splits = NULL;
    char work[SF_PATH_MAX];
    int64_t threads = 0;
    bool done = false;
    sf_settings_default(&o.settings);
    sf_arg args[] = {
        SF_ARG("DATASET", 0, STR, &dataset, NULL, SF_CLI_DATASET, .positional = true,
               .required = true),
        SF_ARG("plans", 'p', STR, &plans, "FILE", "plans file", .required = true),
        SF_ARG("recipe", 0, STR, &recipe, "NAME|FILE", "must be the one that made the plans"),
        SF_ARG("work", 'w', STR, &o.work, "DIR", SF_CLI_WORK),
        SF_ARG("configs", 'c', STR, &o.configs, "LIST", "default: all of the plan"),
        SF_ARG("num-folds", 0, INT, &o.settings.num_folds, "N",
               "folds of the cross-validation; default 5"),
        SF_ARG("splits", 0, STR, &splits, "FILE",
               "folds as splits_final.json; default: the dataset's file, else made"),
        SF_ARG("mpi-io-hints", 0, STR, &o.io_hints, "FILE",
               "MPI-IO hints for the parallel writer: KEY=VALUE lines, or JSON"),
        SF_ARG("threads", 't', INT, &threads, "T", "per rank; default: this rank's share",
               .positive = true),
        SF_ARG_END,
    };
    const sf_arg_table table = {
        "preprocess",
        "crop, normalise and resample all cases into preprocessed/CONFIG.h5 of a work folder", NULL,
        args
    };
    SF_TRY(sf_cli_parse(&table, argc, argv, &done));
    if (done) return SF_OK;
    SF_CHECK(o.settings.num_folds >= 2 && o.settings.num_folds <= 1000, SF_EINVAL,
             "--num-folds must be 2..1000");
    SF_CHECK(threads >= 0, SF_EINVAL, "--threads must not be negative");
    sf_status st = sf_cli_dataset(o.settings.dataset, dataset);
    if (st == SF_OK) st = sf_cli_work(work, o.work, o.settings.dataset);
    if (st == SF_OK && splits) st = sf_cli_absolute(o.settings.splits, splits);
    if (st == SF_OK) st = recipe_of(o.settings.recipe, plans, recipe);
    SF_TRY(sf_comm_agree(sf_comm_world(), st));
    o.work = work;
    o.threads = (int)threads;
    return sf_run_preprocess(sf_comm_world(), &o, plans);
}

sf_status sf_cmd_phantom(int argc, char **argv)
{
    sf_phantom_options o = { .cases = 10 };
    const char *out = NULL;
    int64_t seed = 0;
    bool done = false;
    sf_arg args[] = {
        SF_ARG("OUT", 0, STR, &out, NULL, "folder in which Dataset999_Phantom is made",
               .positional = true, .required = true),
        SF_ARG("cases", 0, INT, &o.cases, "N",
               "training cases; default 10; a fifth as many test cases are added"),
        SF_ARG("extent", 0, INT, &o.extent, "N", "typical edge in voxels; default 40 (2-D 96)"),
        SF_ARG("anisotropic", 0, FLAG, &o.anisotropic, NULL, "voxels of 5 x 1 x 1 mm"),
        SF_ARG("2d", 0, FLAG, &o.flat, NULL, "grey PNG images"),
        SF_ARG("regions", 0, FLAG, &o.regions, NULL, "overlapping regions in place of classes"),
        SF_ARG("ignore", 0, FLAG, &o.ignore, NULL, "every second case is annotated in part only"),
        SF_ARG("seed", 0, INT, &seed, "S", "default 0; same seed, same bytes"),
        SF_ARG_END,
    };
    const sf_arg_table table = {
        "phantom", "make a small labelled dataset: ellipsoids, tubes, noise, two classes", NULL,
        args
    };
    SF_TRY(sf_cli_parse(&table, argc, argv, &done));
    if (done) return SF_OK;
    o.seed = (uint64_t)seed;
    SF_TRY(sf_phantom_make(out, &o));
    printf("%s/Dataset999_Phantom\n", out);
    return SF_OK;
}
