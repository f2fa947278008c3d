/** dataset.json, its cases and labels (nnunet-planning.md 1, 2). Not collective; immutable after
 * load. */
#ifndef SF_PLAN_DATASET_H
#define SF_PLAN_DATASET_H
#include "base/error.h"
#include "base/json.h"
#include "image/image.h"
#include <stdbool.h>
#include <stdint.h>

/** Labels, classes and regions. In region mode the evaluated things are regions, else the labels >
 * 0. */
typedef struct {
    bool has_regions;
    int n_entries; /* keys of `labels` (the planner's class count: background, regions, ignore all
                      count) */
    int n_heads;   /* softmax: labels incl. background without ignore; sigmoid: regions */
    int n_labels;  /* 1 + highest label value without ignore */
    int ignore;    /* label value, or -1: none */
    int n_eval;    /* foreground classes, or regions */
    struct {
        int count;
        int *value;
        bool is_list;
        char *name;
        char *key;
    } * eval;                 /* key as in summary.json: "1", "(1, 2)" */
    int *regions_class_order; /* n_eval entries in region mode, else NULL */
    uint64_t
        *region_of; /* [n_labels]: bit r set when the label is in region r; NULL without regions */
} sf_labels;

typedef struct {
    char *id;
    char **images;
    int n_images; /* absolute paths, channel order */
    char *label;  /* NULL for test cases */
} sf_case;

typedef struct {
    char *dir, *name; /* name = last folder component, "Dataset004_Hippocampus" */
    json_t *json;     /* the whole dataset.json, key order kept */
    int n_channels;
    char **channel_names; /* sorted by their number */
    char *file_ending;
    int64_t num_training;
    sf_labels labels;
    sf_case *train;
    int n_train; /* sorted by id, byte order (or JSON order with a `dataset` key) */
    sf_case *test;
    int n_test; /* imagesTs, may be 0; label set when labelsTs has it */
} sf_dataset;

/** Load and check everything that needs no voxel (planning.md 2: 1..8). Dot files are ignored and
 * said so. */
sf_status sf_dataset_load(sf_dataset **out, const char *dir);
/** Only the JSON (labels, channels, ...), no case folders: planning from a fingerprint, prediction.
 */
sf_status sf_dataset_from_json(sf_dataset **out, const char *json_path);
void sf_dataset_destroy(sf_dataset **d);
/** Cases in a folder of images (predict -i): groups CASE_dddd.ending. Free with sf_cases_free. */
sf_status sf_cases_find(sf_case **out, int *count, const char *dir, const char *file_ending,
                        int n_channels);
void sf_cases_free(sf_case **cases, int count);
/** Checks 9..14 of one case: labels declared, finite, shapes, spacings, channels. `problem` gets
 * all texts, one per line (caller frees), NULL when fine. SF_EDATA when anything fails. */
sf_status sf_dataset_verify_case(const sf_dataset *d, const sf_case *c, char **problem);

/** Labels -> class mask rule: is `label` in evaluated thing e? */
bool sf_labels_contains(const sf_labels *l, int e, int label);
/** Per-voxel decision from plain probabilities or logits [heads][voxels]: arg max (lowest wins), or
 *  regions by class order with p > 0.5 (given logits: z > 0). */
void sf_labels_decide(const sf_labels *l, const float *values, bool are_logits, int64_t voxels,
                      int32_t *out);

#endif
