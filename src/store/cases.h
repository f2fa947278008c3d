/** The preprocessed dataset of one configuration: one HDF5 container, written by all ranks, read by
 * memory mapping. /cases/ID/{data float32 [c][s0][s1][s2], seg int16 [s0][s1][s2], locations int32
 * [rows][3]} + attributes. Arrays are contiguous and allocated early, so that readers map the file
 * and any number of threads read without a library call (cluster-lab.md 3.4: the fastest of all
 * layouts measured). Commit: write under a temporary name, CRC-32 of every array, the attribute
 * "complete" last, close, seal (store/trailer.h), fsync, rename. Never rewritten in place. The
 * content does not depend on the number of ranks. */
#ifndef SF_STORE_CASES_H
#define SF_STORE_CASES_H
#include "base/json.h"
#include "mpi/comm.h"
#include "plan/plans.h"

/** Properties that export needs; transposed order unless said otherwise. */
typedef struct {
    double spacing_file[3]; /* file order */
    double spacing[3];      /* of the original, transposed */
    int64_t shape_before_crop[3], bbox_lo[3], bbox_hi[3], shape_after_crop[3], shape[3];
} sf_case_props;

/** Class locations: for each evaluated thing (sf_labels.eval), then (with an ignore label) one more
 * entry "annotated". */
typedef struct {
    int n_entries;      /* at most 4096 */
    int64_t *count;     /* rows of each entry; NULL when n_entries is 0 */
    int32_t (**row)[3]; /* row[e]: count[e] voxel coordinates, >= 0 and below props.shape; a block
                           of its own each (NULL when count[e] is 0) */
} sf_locations;
/** Frees row[e], row and count, and clears the struct. */
void sf_locations_free(sf_locations *l);

/** One case between preprocessing and the container. Owns all its pointers (sf_mem). */
typedef struct {
    char *id; /* 1..255 bytes, no '/', not "." */
    sf_case_props props;
    int channels; /* 0: labels alone (a cascade's previous stage) */
    float *data;  /* [channels][shape]; NULL without channels */
    int16_t *seg; /* [shape], -1 outside the mask; NULL without label */
    sf_locations loc;
} sf_prepared;
void sf_prepared_destroy(sf_prepared **p);

typedef struct sf_cases_writer sf_cases_writer;
/** Collective. `meta` (an object or NULL; that of rank 0 counts) is stored as text attributes of
 * /meta: strings as they are, other values as JSON (configuration, plans hash, program version). */
sf_status sf_cases_create(sf_cases_writer **out, sf_comm *comm, const char *path,
                          const json_t *meta);
/** Collective: every rank gives one prepared case (borrowed) or NULL. Written in rank order. A
 * failure (SF_EINVAL: bad or repeated id, wrong shapes or locations; SF_EIO) is the same on all
 * ranks; the writer can only be finished then. */
sf_status sf_cases_add_round(sf_cases_writer *w, const sf_prepared *mine);
/** Collective. Frees the writer also on failure; `ok` false on any rank = abandon, remove the
 * temporary file. *w NULL is allowed when it is NULL on all ranks. Abandoned: SF_ECOMM everywhere;
 * a rank that said `ok` gets the text of one that did not, that one keeps its own. SF_OK: the file
 * stands under its name, on disk. */
sf_status sf_cases_finish(sf_cases_writer **w, bool ok);

typedef struct sf_cases sf_cases;
/** Not collective. SF_EDATA when incomplete, foreign or damaged: everything but data and seg is
 * verified by SHA-256 always; `check` verifies all of it, CRC-32 included, and reads the whole
 * file. Cases are sorted by id (byte order). Main thread only; what it returns may be read by any
 * thread. */
sf_status sf_cases_open(sf_cases **out, const char *path, bool check);
/** The same, with the first `bytes` of the file in memory already (mpi/node_cache.h), borrowed
 * until close: patches are read there, nothing is mapped. image NULL: as above. */
sf_status sf_cases_open_image(sf_cases **out, const char *path, bool check, const void *image,
                              int64_t bytes);
void sf_cases_close(sf_cases **c);
int sf_cases_count(const sf_cases *c);
/** Text of meta `key`, borrowed; NULL when absent. */
const char *sf_cases_meta(const sf_cases *c, const char *key);
/** -1 when absent. */
int sf_cases_index(const sf_cases *c, const char *id);

/** Borrowed pointers into the map; valid until close; any thread. */
typedef struct {
    const char *id;
    sf_case_props props;
    int channels;
    const float *data;
    const int16_t *seg;
    const sf_locations *loc;
} sf_case_view;
sf_status sf_cases_get(const sf_cases *c, int index, sf_case_view *out);

#endif
