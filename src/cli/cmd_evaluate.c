/* `segfleet evaluate`: folders of segmentations against references. */
#include "base/mem.h"
#include "cli/command.h"
#include "evaluate/metrics.h"
#include "fleet/threads.h"
#include "report/table.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

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

/* dataset.json as given, else one near the folders. */
static sf_status open_declared(sf_dataset **d, const char *json, const char *ref, const char *pred)
{
    char guess[3][SF_PATH_MAX];
    SF_TRY(sf_path_join(guess[0], ref, "dataset.json", NULL));
    SF_TRY(sf_path_join(guess[1], ref, "../dataset.json", NULL));
    SF_TRY(sf_path_join(guess[2], pred, "dataset.json", NULL));
    for (int i = 0; i < 3 && !json; i++)
        if (sf_path_is_file(guess[i])) json = guess[i];
    SF_CHECK(json, SF_EINVAL, "no dataset.json near %s: give --dataset-json or --labels", ref);
    return sf_dataset_from_json(d, json);
}

/* The ending of the first file in a folder that has one we read. */
static sf_status ending_in(const char **ending, const char *dir)
{
    char **name = NULL;
    size_t n = 0;
    *ending = NULL;
    SF_TRY(sf_path_list(&name, &n, dir));
    for (size_t i = 0; i < n && !*ending; i++)
        if (name[i][0] != '.' && sf_image_ending(ending, name[i]) != SF_OK) *ending = NULL;
    sf_path_free_list(&name, n);
    SF_CHECK(*ending, SF_EDATA, "%s: no label file that can be read", dir);
    return SF_OK;
}

/* --labels "1,2": no dataset.json is needed. */
static sf_status open_listed(sf_dataset **d, const char *list, int64_t ignore, const char *ref)
{
    char **word = NULL;
    int n = 0, *label = NULL;
    const char *ending = NULL;
    sf_status st;
    SF_TRY(sf_args_split(&word, &n, list));
    SF_GOTO(end, st, sf_mem_calloc(&label, (size_t)n + 1, sizeof *label, SF_MEM_MISC));
    for (int i = 0; i < n; i++) {
        char *rest;
        const long v = strtol(word[i], &rest, 10);
        SF_CHECK_GOTO(end, st, *word[i] && !*rest && v > 0 && v < INT_MAX, SF_EINVAL,
                      "--labels: '%s' is not a label above 0", word[i]);
        label[i] = (int)v;
    }
    SF_GOTO(end, st, ending_in(&ending, ref));
    SF_GOTO(end, st, sf_dataset_of_labels(d, label, n, (int)ignore, ending));
end:
    sf_mem_free(label);
    sf_mem_free(word);
    return st;
}

sf_status sf_cmd_evaluate(int argc, char **argv)
{
    const char *pred = NULL, *ref = NULL, *out = NULL, *json = NULL, *list = NULL;
    int64_t ignore = -1;
    bool chill = false, ignores = false, done = false;
    sf_arg args[] = {
        SF_ARG("pred", 'p', STR, &pred, "DIR", "segmentations", .required = true),
        SF_ARG("ref", 'r', STR, &ref, "DIR", "reference labels of the same names",
               .required = true),
        SF_ARG("dataset-json", 'd', STR, &json, "FILE",
               "labels; default: dataset.json in or above REF, or in PRED"),
        SF_ARG("labels", 'l', STR, &list, "1,2,..", "instead: score these labels, each by itself"),
        SF_ARG("ignore-label", 0, INT, &ignore, "N",
               "with --labels: voxels with this reference are left out", .given = &ignores,
               .positive = true),
        SF_ARG("output", 'o', STR, &out, "FILE", "summary.json to write", .required = true),
        SF_ARG("chill", 0, FLAG, &chill, NULL, "references without a segmentation are left out"),
        SF_ARG_END,
    };
    const sf_arg_table table = { "evaluate", "compare segmentations with references", NULL, args };
    SF_TRY(sf_cli_parse(&table, argc, argv, &done));
    if (done) return SF_OK;
    SF_CHECK(!list || !json, SF_EINVAL, "--labels and --dataset-json: give one of them");
    SF_CHECK(list || !ignores, SF_EINVAL, "--ignore-label goes with --labels");
    SF_CHECK(ignore < INT_MAX, SF_EINVAL, "--ignore-label is too large");
    sf_dataset *d = NULL;
    sf_summary *s = NULL;
    sf_status st;
    if (list)
        SF_GOTO(end, st, open_listed(&d, list, ignore, ref));
    else
        SF_GOTO(end, st, open_declared(&d, json, ref, pred));
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
