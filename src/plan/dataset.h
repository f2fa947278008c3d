/** dataset.json, its cases and labels (nnunet-planning.md 1, 2; suggestions of 13). Immutable after
 *  load, so any number of threads may read. Not collective. */
#ifndef SF_PLAN_DATASET_H
#define SF_PLAN_DATASET_H
#include "base/error.h"
#include "base/json.h"
#include "image/image.h"
#include <stdbool.h>
#include <stdint.h>

/** Labels, classes and regions. In region mode (a label value is a list of several labels) the
 *  evaluated things are the regions in the order of the file, else the labels > 0, ascending. */
typedef struct {
    bool has_regions;
    int n_entries; /* keys of `labels`, all of them: the planner's class count */
    int n_heads;   /* softmax: labels incl. background, without ignore; sigmoid: regions */
    int n_labels;  /* 1 + highest label value without ignore */
    int ignore;    /* label value, or -1: none */
    int n_eval;    /* foreground classes, or regions */
    struct {
        int count, *value; /* labels of the thing */
        bool is_list;      /* written as a list: the key has parentheses */
        char *name, *key;  /* "tumour"; as in summary.json: "1", "(1, 2)", "(3,)" */
    } * eval;
    int *regions_class_order; /* n_eval output labels in region mode, else NULL */
    uint64_t *region_of;      /* [n_labels]: bit r = label is in region r; NULL without regions */
} sf_labels;

/** One case: absolute paths of its channel files (one file may hold all channels). */
typedef struct {
    char *id;
    char **images; /* channel order */
    int n_images;
    char *label; /* NULL for test cases without a label */
    sf_image_reader reader;
} sf_case;

typedef struct {
    char *dir, *name; /* absolute folder; its last component, "Dataset004_Hippocampus" */
    json_t *json;     /* the whole dataset.json, key order kept */
    int n_channels;
    char **channel_names;   /* sorted by their number */
    char *file_ending;      /* with the leading dot */
    sf_image_reader reader; /* by `overwrite_image_reader_writer`; of all cases below */
    int64_t num_training;   /* 0 when the file does not say (only sf_dataset_from_json) */
    sf_labels labels;
    sf_case *train; /* sorted by id, byte order (or JSON order with a `dataset` key) */
    int n_train;
    sf_case *test; /* imagesTs; label set when labelsTs has it */
    int n_test;    /* may be 0 */
} sf_dataset;

/** Load and check everything that needs no voxel (planning.md 2: 1..8). Hidden files are ignored
 *  with a log line; trouble in imagesTs is a warning and leaves n_test = 0.
 *  @return SF_EDATA names the file and what to do: missing key, folder, label or channel file,
 * wrong numTraining, wrong labels. Caller destroys *out; NULL on failure. */
sf_status sf_dataset_load(sf_dataset **out, const char *dir);
/** Only the JSON (labels, channels, ...), no case folders: planning from a fingerprint, prediction.
 *  The name is that of the folder the file lies in. Where plans.json lies beside it (a model), its
 *  `image_reader_writer` is followed, or refused by name (SF_EUNSUPPORTED). */
sf_status sf_dataset_from_json(sf_dataset **out, const char *json_path);
/** No file: labels, each to be scored by itself, an ignore label or -1, and the ending of the label
 *  files. Holds nothing else. SF_EINVAL: a label twice, below 1, or the ignore label. */
sf_status sf_dataset_of_labels(sf_dataset **out, const int *label, int n, int ignore,
                               const char *file_ending);
void sf_dataset_destroy(sf_dataset **d);

/** Read the channel files of a case as image (image.h: sf_image_read_as), or the first one's
 *  header. */
sf_status sf_case_read(sf_image **out, const sf_case *c);
sf_status sf_case_probe(sf_geometry *geo, int *channels, const sf_case *c);

/** Cases in a folder of images (predict -i), by file ending, channels and reader of a dataset:
 * groups CASE_dddd.ending, sorted by id, without labels. Files of other names are left alone; one
 * warning names the first and their number. SF_EDATA: no case, a missing channel; SF_EUNSUPPORTED:
 * a folder of DICOM. Free with sf_cases_free. */
sf_status sf_dataset_find_cases(sf_case **out, int *count, const sf_dataset *d, const char *dir);
void sf_cases_free(sf_case **cases, int count);

/** Checks 9..14 of one case: labels declared, voxels finite, shapes, spacings, channels; a
 * different origin or direction is only logged.
 *  @param[out] problem  all texts, one per line (caller frees with sf_mem_free), NULL when fine
 *  @param[in,out] seen  NULL, or n_labels counters: those of the labels that occur go up by one
 *  @return SF_EDATA when anything fails. Thread-safe on different `seen`. */
sf_status sf_dataset_verify_case(const sf_dataset *d, const sf_case *c, char **problem,
                                 int64_t *seen);

/** Labels that occur nowhere, by the counters of all training cases: one line each in *text (NULL =
 *  none; caller frees). SF_EDATA when no case has any foreground; *text is then set too. */
sf_status sf_dataset_verify_labels(char **text, const sf_dataset *d, const int64_t *seen);

/** Anatomical orientations of the training images, by their affines ("RAS 100, LPS 9"): they are
 *  used as stored, so a mixture is worth a warning, which is logged. Reads one header per case.
 *  @param[out] text  NULL, or the counts, most frequent first; caller frees */
sf_status sf_dataset_orientations(const sf_dataset *d, char **text);

/** Is `label` part of evaluated thing e, 0 <= e < n_eval? */
bool sf_labels_contains(const sf_labels *l, int e, int label);
/** Per-voxel decision from plain probabilities or logits [n_heads][voxels]: arg max (lowest wins),
 * or regions in class order, later ones overwriting, where p > 0.5 (given logits: z > 0).
 *  @param[out] out  [voxels], caller's */
void sf_labels_decide(const sf_labels *l, const float *values, bool are_logits, int64_t voxels,
                      int32_t *out);
/** The same for `voxels` neighbouring voxels of a larger array: a head's values are `stride` apart
 * from the next head's. So threads can share an array. */
void sf_labels_decide_part(const sf_labels *l, const float *values, int64_t stride, bool are_logits,
                           int64_t voxels, int32_t *out);

#endif
