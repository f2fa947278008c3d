/* Commands on datasets: verify, fingerprint, plan, preprocess, phantom. */
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/command.h"
#include "fleet/stages.h"
#include "image/phantom.h"
#include "plan/planner.h"
#include <string.h>

sf_status sf_cmd_verify(int argc, char **argv)
{
    const char *dir = NULL;
    bool done = false;
    sf_arg args[] = { { .name = "DATASET",
                        .kind = SF_ARG_STR,
                        .value = &dir,
                        .positional = true,
                        .required = true,
                        .help = "dataset folder" },
                      { .name = NULL } };
    const sf_arg_table table = {
        "verify", "check a dataset folder: files, labels, shapes, spacings, finite voxels", NULL,
        args
    };
    SF_TRY(sf_cli_parse(&table, argc, argv, &done));
    if (done) return SF_OK;
    sf_dataset *d = NULL;
    char *directions = NULL;
    SF_TRY(sf_dataset_load(&d, dir));
    if (sf_dataset_orientations(d, &directions) == SF_OK)
        printf("orientations: %s\n", directions); /* unreadable headers are told case by case */
    sf_mem_free(directions);
    int bad = 0;
    const int n_cases = d->n_train;
    sf_progress *progress = sf_progress_begin("verify", d->n_train);
    for (int i = 0; i < d->n_train; i++) {
        char *problem = NULL;
        if (sf_dataset_verify_case(d, &d->train[i], &problem) != SF_OK) {
            bad++;
            printf("%s", problem ? problem : sf_error_text());
            if (!problem || problem[0] == 0 || problem[strlen(problem) - 1] != '\n') putchar('\n');
        }
        sf_mem_free(problem);
        sf_progress_step(progress, i + 1);
    }
    sf_progress_end(&progress);
    sf_dataset_destroy(&d);
    SF_CHECK(bad == 0, SF_EDATA, "%s: %d of %d cases have problems", dir, bad, n_cases);
    printf("%s: %d cases, no problem found\n", dir, n_cases);
    return SF_OK;
}

sf_status sf_cmd_fingerprint(int argc, char **argv)
{
    const char *dir = NULL, *out = NULL, *recipe = "paper";
    bool done = false;
    sf_arg args[] = { { .name = "DATASET",
                        .kind = SF_ARG_STR,
                        .value = &dir,
                        .positional = true,
                        .required = true,
                        .help = "dataset folder" },
                      { .name = "output",
                        .letter = 'o',
                        .kind = SF_ARG_STR,
                        .value = &out,
                        .meta = "FILE",
                        .required = true,
                        .help = "fingerprint file to write" },
                      { .name = "recipe",
                        .kind = SF_ARG_STR,
                        .value = &recipe,
                        .meta = "NAME|FILE",
                        .help = "paper (default), nnunetv2, or a JSON file" },
                      { .name = NULL } };
    const sf_arg_table table = { "fingerprint", "shapes, spacings and intensities of a dataset",
                                 NULL, args };
    SF_TRY(sf_cli_parse(&table, argc, argv, &done));
    if (done) return SF_OK;
    sf_dataset *d = NULL;
    sf_recipe *r = NULL;
    sf_status st;
    st = sf_dataset_load(&d, dir);
    if (st == SF_OK) st = sf_recipe_load(&r, recipe, NULL);
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
    double memory_gb;
    bool explain;
} plan_words;

static sf_status fingerprint_of(sf_fingerprint **f, sf_dataset **d, const sf_recipe *r,
                                const plan_words *w)
{
    if (w->fingerprint) {
        SF_TRY(sf_dataset_from_json(d, w->dataset_json));
        return sf_fingerprint_load(f, w->fingerprint);
    }
    SF_TRY(sf_dataset_load(d, w->dataset));
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

static sf_status plan(const plan_words *w)
{
    sf_dataset *d = NULL;
    sf_recipe *r = NULL;
    sf_fingerprint *f = NULL;
    json_t *plans = NULL, *explain = NULL;
    const sf_planner_options o = { .memory_gb = w->memory_gb, .preset = w->preset };
    sf_status st;
    SF_GOTO(end, st, sf_recipe_load(&r, w->recipe, NULL));
    SF_GOTO(end, st, fingerprint_of(&f, &d, r, w));
    SF_GOTO(end, st, sf_planner_run(&plans, &explain, f, d, r, &o));
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
    sf_arg args[] = { { .name = "DATASET",
                        .kind = SF_ARG_STR,
                        .value = &w.dataset,
                        .positional = true,
                        .help = "dataset folder; or give --fingerprint and --dataset-json" },
                      { .name = "fingerprint",
                        .kind = SF_ARG_STR,
                        .value = &w.fingerprint,
                        .meta = "FILE",
                        .help = "plan from this fingerprint alone" },
                      { .name = "dataset-json",
                        .kind = SF_ARG_STR,
                        .value = &w.dataset_json,
                        .meta = "FILE",
                        .help = "dataset.json that belongs to --fingerprint" },
                      { .name = "recipe",
                        .kind = SF_ARG_STR,
                        .value = &w.recipe,
                        .meta = "NAME|FILE",
                        .help = "paper (default), nnunetv2, or a JSON file" },
                      { .name = "preset",
                        .kind = SF_ARG_STR,
                        .value = &w.preset,
                        .meta = "NAME",
                        .help = "ResEncM, ResEncL or ResEncXL" },
                      { .name = "memory-gb",
                        .kind = SF_ARG_REAL,
                        .value = &w.memory_gb,
                        .meta = "G",
                        .positive = true,
                        .help = "memory budget of one patch batch; default: the recipe's" },
                      { .name = "explain",
                        .kind = SF_ARG_FLAG,
                        .value = &w.explain,
                        .help = "print every decision with its rule, inputs and result" },
                      { .name = "explain-json",
                        .kind = SF_ARG_STR,
                        .value = &w.explain_out,
                        .meta = "FILE",
                        .help = "the same as JSON" },
                      { .name = "output",
                        .letter = 'o',
                        .kind = SF_ARG_STR,
                        .value = &w.out,
                        .meta = "FILE",
                        .required = true,
                        .help = "plans file to write" },
                      { .name = NULL } };
    const sf_arg_table table = { "plan", "derive all configurations from a fingerprint", NULL,
                                 args };
    SF_TRY(sf_cli_parse(&table, argc, argv, &done));
    if (done) return SF_OK;
    SF_CHECK(w.dataset || (w.fingerprint && w.dataset_json), SF_EINVAL,
             "plan: give DATASET, or both --fingerprint and --dataset-json");
    SF_CHECK(!w.dataset || !w.fingerprint, SF_EINVAL,
             "plan: DATASET and --fingerprint exclude each other");
    sf_status st = sf_comm_rank(sf_comm_world()) == 0 ? plan(&w) : SF_OK;
    return sf_comm_agree(sf_comm_world(), st);
}

/* Plans carry the recipe that made them: run.json names it. */
static sf_status recipe_of(char out[SF_PATH_MAX], const char *plans_file)
{
    sf_plans *p = NULL;
    SF_TRY(sf_plans_load(&p, plans_file));
    const sf_status st = sf_path_format(out, "%s", p->recipe->name);
    sf_plans_destroy(&p);
    return st;
}

sf_status sf_cmd_preprocess(int argc, char **argv)
{
    sf_run_options o = { 0 };
    const char *dataset = NULL, *plans = NULL;
    int64_t threads = 0;
    bool done = false;
    sf_settings_default(&o.settings);
    sf_arg args[] = { { .name = "DATASET",
                        .kind = SF_ARG_STR,
                        .value = &dataset,
                        .positional = true,
                        .required = true,
                        .help = "dataset folder" },
                      { .name = "plans",
                        .letter = 'p',
                        .kind = SF_ARG_STR,
                        .value = &plans,
                        .meta = "FILE",
                        .required = true,
                        .help = "plans file" },
                      { .name = "work",
                        .letter = 'w',
                        .kind = SF_ARG_STR,
                        .value = &o.work,
                        .meta = "DIR",
                        .required = true,
                        .help = "work folder; made when missing" },
                      { .name = "configs",
                        .letter = 'c',
                        .kind = SF_ARG_STR,
                        .value = &o.configs,
                        .meta = "LIST",
                        .help = "default: all of the plan" },
                      { .name = "num-folds",
                        .kind = SF_ARG_INT,
                        .value = &o.settings.num_folds,
                        .meta = "N",
                        .help = "folds of the cross-validation; default 5" },
                      { .name = "threads",
                        .letter = 't',
                        .kind = SF_ARG_INT,
                        .value = &threads,
                        .meta = "T",
                        .positive = true,
                        .help = "per rank; default: this rank's share" },
                      { .name = NULL } };
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
    sf_status st = sf_cli_absolute(o.settings.dataset, dataset);
    if (st == SF_OK) st = recipe_of(o.settings.recipe, plans);
    SF_TRY(sf_comm_agree(sf_comm_world(), st));
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
        { .name = "OUT",
          .kind = SF_ARG_STR,
          .value = &out,
          .positional = true,
          .required = true,
          .help = "folder in which Dataset999_Phantom is made" },
        { .name = "cases",
          .kind = SF_ARG_INT,
          .value = &o.cases,
          .meta = "N",
          .help = "training cases; default 10; a fifth as many test cases are added" },
        { .name = "extent",
          .kind = SF_ARG_INT,
          .value = &o.extent,
          .meta = "N",
          .help = "typical edge in voxels; default 40 (2-D 96)" },
        { .name = "anisotropic",
          .kind = SF_ARG_FLAG,
          .value = &o.anisotropic,
          .help = "voxels of 5 x 1 x 1 mm" },
        { .name = "2d", .kind = SF_ARG_FLAG, .value = &o.flat, .help = "grey PNG images" },
        { .name = "seed",
          .kind = SF_ARG_INT,
          .value = &seed,
          .meta = "S",
          .help = "default 0; same seed, same bytes" },
        { .name = NULL }
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
