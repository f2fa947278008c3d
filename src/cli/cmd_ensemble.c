/* Commands on folders of predictions: ensemble, determine-postprocessing, apply-postprocessing,
 * accumulate. */
#include "base/mem.h"
#include "cli/command.h"
#include "fleet/ensemble.h"
#include "fleet/postprocess.h"
#include <string.h>

sf_status sf_cmd_ensemble(int argc, char **argv)
{
    sf_arg_list in = { 0 };
    sf_ensemble_options o = { 0 };
    const char *out = NULL, *format = "npz";
    bool done = false;
    int n = 0;
    sf_arg args[] = {
        SF_ARG("input", 'i', LIST, &in, "DIR...",
               "folders written by predict --save-probabilities, or by nnU-Net", .required = true),
        SF_ARG("output", 'o', STR, &out, "DIR", "segmentations of the mean", .required = true),
        SF_ARG("dataset-json", 'd', STR, &o.dataset_json, "FILE",
               "labels; default: dataset.json of the first folder"),
        SF_ARG("save-probabilities", 0, FLAG, &o.save_probabilities, NULL, "also write the mean"),
        SF_ARG("probabilities-format", 0, STR, &format, "npz|h5", "of the mean; default npz"),
        SF_ARG_END,
    };
    const sf_arg_table table = {
        "ensemble", "average the stored probabilities of several models",
        "All folders must hold the same cases, as CASE.npz (ours or nnU-Net's) or CASE.h5.", args
    };
    SF_TRY(sf_cli_parse(&table, argc, argv, &done));
    if (done) return SF_OK;
    SF_TRY(sf_probabilities_parse(&o.format, format));
    o.dir = in.item;
    o.n_dirs = in.count;
    SF_TRY(sf_ensemble_folders(sf_comm_world(), &o, out, &n));
    if (sf_comm_rank(sf_comm_world()) == 0)
        printf("%d cases of %d folders averaged in %s\n", n, in.count, out);
    return SF_OK;
}

/* What post-processing commands share. */
typedef struct {
    const char *pred, *ref, *dataset_json, *file, *out;
} pp_words;

/* Labels and file ending: as given, else beside the predictions, else in or above the references.
 */
static sf_status load_labels(sf_dataset **d, const pp_words *w)
{
    const char *const dir[] = { w->pred, w->ref, w->ref };
    char path[SF_PATH_MAX];
    if (w->dataset_json) return sf_dataset_from_json(d, w->dataset_json);
    for (int i = 0; i < 3; i++) {
        if (!dir[i]) continue;
        SF_TRY(sf_path_join(path, dir[i], i == 2 ? "../dataset.json" : "dataset.json", NULL));
        if (sf_path_is_file(path)) return sf_dataset_from_json(d, path);
    }
    return SF_FAIL(SF_EINVAL, "no dataset.json near %s: give --dataset-json", w->pred);
}

static void print_decision(const sf_postproc *pp, const sf_summary *before, const sf_summary *after)
{
    for (int i = 0; i < pp->n_ops; i++) printf("keep the largest component of %s\n", pp->op[i].key);
    if (pp->n_ops == 0) printf("no removal of components helps\n");
    printf("foreground mean Dice %.4f, post-processed %.4f\n", before->foreground_dice,
           after->foreground_dice);
}

sf_status sf_cmd_determine(int argc, char **argv)
{
    pp_words w = { 0 };
    bool done = false;
    sf_arg args[] = {
        SF_ARG("pred", 'p', STR, &w.pred, "DIR", "segmentations of cross-validation",
               .required = true),
        SF_ARG("ref", 'r', STR, &w.ref, "DIR", "reference labels of the same names",
               .required = true),
        SF_ARG("dataset-json", 'd', STR, &w.dataset_json, "FILE",
               "labels; default: dataset.json in PRED, or in or above REF"),
        SF_ARG("output", 'o', STR, &w.file, "FILE", "postprocessing.json to write",
               .required = true),
        SF_ARG_END,
    };
    const sf_arg_table table = {
        "determine-postprocessing",
        "measure which removals of small components help, and write them down", NULL, args
    };
    SF_TRY(sf_cli_parse(&table, argc, argv, &done));
    if (done) return SF_OK;
    sf_dataset *d = NULL;
    sf_postproc *pp = NULL;
    sf_summary *before = NULL, *after = NULL;
    sf_status st;
    SF_GOTO(end, st, load_labels(&d, &w));
    SF_GOTO(end, st,
            sf_postprocess_determine(&pp, &before, &after, w.pred, w.ref, d->file_ending,
                                     &d->labels, w.file));
    print_decision(pp, before, after);
end:
    sf_postproc_destroy(&pp);
    sf_summary_destroy(&before);
    sf_summary_destroy(&after);
    sf_dataset_destroy(&d);
    return st;
}

sf_status sf_cmd_postprocess(int argc, char **argv)
{
    pp_words w = { 0 };
    bool done = false;
    int n = 0;
    sf_arg args[] = {
        SF_ARG("pred", 'p', STR, &w.pred, "DIR", "segmentations", .required = true),
        SF_ARG("postprocessing", 'f', STR, &w.file, "FILE",
               "postprocessing.json, ours or nnU-Net's", .required = true),
        SF_ARG("dataset-json", 'd', STR, &w.dataset_json, "FILE",
               "labels; default: dataset.json in PRED"),
        SF_ARG("output", 'o', STR, &w.out, "DIR", "treated segmentations; another folder than PRED",
               .required = true),
        SF_ARG_END,
    };
    const sf_arg_table table = { "apply-postprocessing",
                                 "treat segmentations as postprocessing.json says", NULL, args };
    SF_TRY(sf_cli_parse(&table, argc, argv, &done));
    if (done) return SF_OK;
    sf_dataset *d = NULL;
    sf_postproc *pp = NULL;
    sf_status st;
    SF_GOTO(end, st, load_labels(&d, &w));
    SF_GOTO(end, st, sf_postproc_load(&pp, w.file));
    SF_GOTO(end, st,
            sf_postprocess_apply(&n, pp, w.pred, d->file_ending, d->labels.n_labels - 1, w.out));
    printf("%d cases post-processed in %s\n", n, w.out);
end:
    sf_postproc_destroy(&pp);
    sf_dataset_destroy(&d);
    return st;
}

sf_status sf_cmd_accumulate(int argc, char **argv)
{
    const char *work = NULL, *config = NULL, *folds = NULL, *out = NULL, *variant = NULL;
    bool done = false;
    sf_arg args[] = {
        SF_ARG("work", 'w', STR, &work, "DIR", "work folder with trained folds", .required = true),
        SF_ARG("config", 'c', STR, &config, "NAME", "2d, 3d_fullres, ...", .required = true),
        SF_ARG("folds", 'f', STR, &folds, "all|LIST", "default all"),
        SF_ARG("variant", 0, STR, &variant, "NAME|FILE", "default: the work folder's"),
        SF_ARG("output", 'o', STR, &out, "DIR", "new or empty folder", .required = true),
        SF_ARG_END,
    };
    const sf_arg_table table = {
        "accumulate", "gather the folds' validation segmentations and score them together", NULL,
        args
    };
    SF_TRY(sf_cli_parse(&table, argc, argv, &done));
    if (done) return SF_OK;
    int *fold = NULL, n_folds = 0;
    sf_dataset *d = NULL;
    sf_summary *s = NULL;
    sf_status st;
    SF_GOTO(end, st, sf_cli_folds(&fold, &n_folds, folds));
    SF_GOTO(end, st, sf_accumulate_folds(&s, &d, work, config, variant, fold, n_folds, out));
    printf("%d cases in %s, foreground mean Dice %.4f\n", s->n_cases, out, s->foreground_dice);
end:
    sf_summary_destroy(&s);
    sf_dataset_destroy(&d);
    sf_mem_free(fold);
    return st;
}
