/* Writing the container of cases.h. HDF5 wants every change of metadata on all ranks with the same
 * values: so in each round the ranks first share the descriptions of their cases, then create all
 * of them together, then each writes its own values alone. */
#include "base/hash.h"
#include "base/mem.h"
#include "base/path.h"
#include "store/cases.h"
#include "store/cases_format.h"
#include "store/h5.h"
#include "store/trailer.h"
#include <string.h>
#include <unistd.h>

enum { ALIGNMENT = 4096 };

/* What all ranks know of a case; shared as bytes, followed by n_entries counts. */
typedef struct {
    char id[SF_CASE_ID_MAX];
    sf_case_props props;
    int64_t channels, has_seg, n_entries, rows;
    int64_t crc[SF_CASE_ARRAYS];
    char sha256[SF_CASE_SEG + 1][65]; /* of data and seg, for the seal */
} description;

struct sf_cases_writer {
    sf_comm *comm;
    char path[SF_PATH_MAX], tmp[SF_PATH_MAX];
    hid_t file, cases;
    bool failed;
    char (*id)[SF_CASE_ID_MAX];
    int64_t n;
    sf_sealed *sealed; /* data and seg of all cases */
    int64_t n_sealed;
};

static const char *const array_name[SF_CASE_ARRAYS] = SF_CASE_ARRAY_NAMES;

void sf_locations_free(sf_locations *l)
{
    for (int e = 0; l->row && e < l->n_entries; e++) sf_mem_free(l->row[e]);
    sf_mem_free(l->row);
    sf_mem_free(l->count);
    *l = (sf_locations){ 0 };
}

void sf_prepared_destroy(sf_prepared **p)
{
    if (*p == NULL) return;
    sf_mem_free((*p)->id);
    sf_mem_free((*p)->data);
    sf_mem_free((*p)->seg);
    sf_locations_free(&(*p)->loc);
    sf_mem_free(*p);
    *p = NULL;
}

/* ---- start -------------------------------------------------------------------------------- */

static sf_status put_meta(hid_t group, const json_t *meta)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)meta, key, v)
    {
        if (json_is_string(v)) {
            SF_TRY(sf_h5_put_text(group, key, json_string_value(v)));
            continue;
        }
        char *text = NULL;
        SF_TRY(sf_json_dump(&text, v, 0, false));
        sf_status st = sf_h5_put_text(group, key, text);
        sf_mem_free(text);
        SF_TRY(st);
    }
    return SF_OK;
}

/* A group without time stamps. */
static sf_status make_group(hid_t *out, hid_t at, const char *name)
{
    herr_t rc;
    sf_status st = SF_OK;
    hid_t how = H5I_INVALID_HID;
    H5_TRY(done, st, how, H5Pcreate(H5P_GROUP_CREATE));
    H5_TRY(done, st, rc, H5Pset_obj_track_times(how, 0));
    H5_TRY(done, st, *out, H5Gcreate2(at, name, H5P_DEFAULT, how, H5P_DEFAULT));
done:
    if (how >= 0) H5Pclose(how);
    return st;
}

static sf_status begin_file(sf_cases_writer *w, const json_t *meta)
{
    hid_t group = H5I_INVALID_HID;
    SF_TRY(sf_h5_create(&w->file, w->comm, w->tmp, ALIGNMENT));
    SF_TRY(sf_h5_put_text(w->file, "format", SF_CASES_FORMAT));
    SF_TRY(make_group(&group, w->file, "meta"));
    sf_status st = put_meta(group, meta);
    H5Gclose(group);
    SF_TRY(st);
    return make_group(&w->cases, w->file, "cases");
}

/* Rank 0's path, temporary name and meta for all. */
static sf_status share_start(sf_cases_writer *w, const char *path, const json_t *meta,
                             json_t **same)
{
    char *text = NULL;
    void **all = NULL;
    size_t *sizes = NULL;
    const bool first = sf_comm_rank(w->comm) == 0;
    sf_status st = sf_path_format(w->path, "%s", path);
    if (st == SF_OK) st = sf_path_tmp_name(w->tmp, path);
    if (st == SF_OK && first && meta) st = sf_json_dump(&text, meta, 0, false);
    SF_GOTO(done, st, sf_comm_agree(w->comm, st));
    SF_GOTO(done, st, sf_comm_bcast(w->comm, w->tmp, sizeof w->tmp, 0));
    SF_GOTO(done, st,
            sf_comm_allgather_bytes(w->comm, text, text ? strlen(text) + 1 : 0, &all, &sizes));
    st = sf_json_parse(same, sizes[0] > 0 ? (const char *)all[0] : "{}", "container attributes");
    if (st == SF_OK && !json_is_object(*same))
        st = SF_FAIL(SF_EINTERNAL, "container attributes are not an object");
    st = sf_comm_agree(w->comm, st);
done:
    sf_mem_free(all);
    sf_mem_free(text);
    return st;
}

static void close_file(sf_cases_writer *w, sf_status *st)
{
    if (w->cases >= 0) H5Gclose(w->cases);
    if (w->file >= 0 && H5Fclose(w->file) < 0 && *st == SF_OK)
        *st = sf_h5_fail_(SF_EIO, "H5Fclose", __FILE__, __LINE__);
    w->cases = w->file = H5I_INVALID_HID;
}

static void free_writer(sf_cases_writer **w)
{
    if (*w == NULL) return;
    sf_mem_free((*w)->id);
    sf_mem_free((*w)->sealed);
    sf_mem_free(*w);
    *w = NULL;
}

sf_status sf_cases_create(sf_cases_writer **out, sf_comm *comm, const char *path,
                          const json_t *meta)
{
    json_t *same = NULL;
    sf_cases_writer *w = NULL;
    *out = NULL;
    sf_status st = sf_mem_calloc(&w, 1, sizeof *w, SF_MEM_MISC);
    SF_GOTO(fail, st, sf_comm_agree(comm, st));
    w->comm = comm;
    w->file = w->cases = H5I_INVALID_HID;
    SF_GOTO(fail, st, share_start(w, path, meta, &same));
    st = sf_h5_in_file(begin_file(w, same), w->path, 0);
    SF_GOTO(fail, st, sf_comm_agree(comm, st));
    json_decref(same);
    *out = w;
    return SF_OK;
fail:
    json_decref(same);
    if (w) {
        const bool made = w->file >= 0;
        close_file(w, &st);
        if (made && sf_comm_rank(comm) == 0) unlink(w->tmp);
    }
    free_writer(&w);
    return st;
}

/* ---- one round ---------------------------------------------------------------------------- */

static int64_t voxels(const int64_t shape[3])
{
    int64_t n = 1;
    for (int i = 0; i < 3; i++) {
        if (shape[i] < 1 || shape[i] > ((int64_t)1 << 46) / n) return -1;
        n *= shape[i];
    }
    return n;
}

static sf_status check_case(const sf_prepared *p)
{
    const size_t length = p->id ? strlen(p->id) : 0;
    SF_CHECK(length > 0 && length < SF_CASE_ID_MAX && strchr(p->id, '/') == NULL &&
                 strcmp(p->id, ".") != 0,
             SF_EINVAL, "'%.40s' cannot be a case name here: 1 to %d characters without '/'",
             p->id ? p->id : "", SF_CASE_ID_MAX - 1);
    SF_CHECK(voxels(p->props.shape) > 0 && p->channels >= 0 &&
                 p->channels <= SF_CASE_MAX_CHANNELS &&
                 (p->channels > 0 ? p->data : (void *)p->seg),
             SF_EINVAL, "case '%s' has no voxels or an impossible shape", p->id);
    SF_CHECK(p->loc.n_entries >= 0 && p->loc.n_entries <= SF_CASE_MAX_ENTRIES, SF_EINVAL,
             "case '%s' has class locations of %d classes", p->id, p->loc.n_entries);
    for (int e = 0; e < p->loc.n_entries; e++) {
        SF_CHECK(p->loc.count[e] >= 0, SF_EINVAL, "case '%s': class locations are broken", p->id);
        for (int64_t i = 0; i < p->loc.count[e]; i++) {
            const int32_t *v = p->loc.row[e][i];
            for (int k = 0; k < 3; k++)
                SF_CHECK(v[k] >= 0 && v[k] < p->props.shape[k], SF_EINVAL,
                         "case '%s': a class location lies outside the image", p->id);
        }
    }
    return SF_OK;
}

/* Rows of all entries, one after the other. */
static sf_status join_rows(int32_t (**out)[3], int64_t *rows, const sf_locations *l)
{
    *rows = 0;
    for (int e = 0; e < l->n_entries; e++) *rows += l->count[e];
    SF_TRY(sf_mem_alloc(out, (size_t)*rows, sizeof **out, SF_MEM_SCRATCH));
    int64_t at = 0;
    for (int e = 0; e < l->n_entries; e++) {
        if (l->count[e] == 0) continue;
        memcpy(*out + at, l->row[e], (size_t)l->count[e] * sizeof **out);
        at += l->count[e];
    }
    return SF_OK;
}

static void hash_array(description *d, sf_case_array which, const void *data, size_t size)
{
    sf_sha256 h;
    sf_sha256_begin(&h);
    sf_sha256_add(&h, data, size);
    sf_sha256_end(&h, d->sha256[which]);
    d->crc[which] = sf_crc32(data, size);
}

/* Bytes to share: description + counts; and the joined rows for writing. */
static sf_status describe(char **bytes, size_t *size, int32_t (**rows)[3], const sf_prepared *p)
{
    if (p == NULL) return SF_OK;
    SF_TRY(check_case(p));
    const size_t counts = (size_t)p->loc.n_entries * sizeof(int64_t);
    const size_t n = (size_t)voxels(p->props.shape);
    SF_TRY(sf_mem_calloc(bytes, sizeof(description) + counts, 1, SF_MEM_SCRATCH));
    description *d = (description *)(void *)*bytes;
    strcpy(d->id, p->id);
    d->props = p->props;
    d->channels = p->channels;
    d->has_seg = p->seg != NULL;
    d->n_entries = p->loc.n_entries;
    if (counts > 0) memcpy(*bytes + sizeof *d, p->loc.count, counts);
    SF_TRY(join_rows(rows, &d->rows, &p->loc));
    if (p->channels > 0)
        hash_array(d, SF_CASE_DATA, p->data, n * (size_t)p->channels * sizeof *p->data);
    if (p->seg) hash_array(d, SF_CASE_SEG, p->seg, n * sizeof *p->seg);
    d->crc[SF_CASE_LOC] = sf_crc32(*rows, (size_t)d->rows * sizeof **rows);
    *size = sizeof *d + counts;
    return SF_OK;
}

static sf_status put_case_attributes(hid_t group, const description *d, const int64_t *counts)
{
    const sf_case_props *p = &d->props;
    SF_TRY(sf_h5_put_f64(group, "spacing_file", p->spacing_file, 3));
    SF_TRY(sf_h5_put_f64(group, "spacing", p->spacing, 3));
    SF_TRY(sf_h5_put_i64(group, "shape_before_crop", p->shape_before_crop, 3));
    SF_TRY(sf_h5_put_i64(group, "bbox_lo", p->bbox_lo, 3));
    SF_TRY(sf_h5_put_i64(group, "bbox_hi", p->bbox_hi, 3));
    SF_TRY(sf_h5_put_i64(group, "shape_after_crop", p->shape_after_crop, 3));
    SF_TRY(sf_h5_put_i64(group, "shape", p->shape, 3));
    SF_TRY(sf_h5_put_i64(group, "channels", &d->channels, 1));
    SF_TRY(sf_h5_put_i64(group, "has_seg", &d->has_seg, 1));
    SF_TRY(sf_h5_put_i64(group, "n_location_entries", &d->n_entries, 1));
    if (d->n_entries > 0)
        SF_TRY(sf_h5_put_i64(group, "location_counts", counts, (int)d->n_entries));
    return SF_OK;
}

/* The datasets of one case while a round is under way. */
typedef struct {
    hid_t dset[SF_CASE_ARRAYS];
    sf_h5_array info[SF_CASE_ARRAYS];
} open_case;

static void close_case(open_case *o)
{
    for (int k = 0; k < SF_CASE_ARRAYS; k++) {
        if (o->dset[k] >= 0) H5Dclose(o->dset[k]);
        o->dset[k] = H5I_INVALID_HID;
    }
}

static sf_status make_array(open_case *o, hid_t group, const description *d, sf_case_array which)
{
    const int64_t *s = d->props.shape;
    const int64_t image[4] = { d->channels, s[0], s[1], s[2] }, rows[2] = { d->rows, 3 };
    const hid_t type = which == SF_CASE_DATA  ? H5T_IEEE_F32LE
                       : which == SF_CASE_SEG ? H5T_STD_I16LE
                                              : H5T_STD_I32LE;
    const int ndim = which == SF_CASE_DATA ? 4 : which == SF_CASE_SEG ? 3 : 2;
    const int64_t *dim = which == SF_CASE_DATA ? image : which == SF_CASE_SEG ? s : rows;
    SF_TRY(sf_h5_create_array(&o->dset[which], &o->info[which], group, array_name[which], type,
                              ndim, dim));
    return sf_h5_put_i64(o->dset[which], "crc32", &d->crc[which], 1);
}

/* On all ranks alike. */
static sf_status create_case(sf_cases_writer *w, open_case *o, const description *d,
                             const int64_t *counts)
{
    hid_t group = H5I_INVALID_HID;
    sf_status st = SF_OK;
    SF_TRY(sf_mem_resize(&w->id, (size_t)w->n + 1, sizeof *w->id, SF_MEM_MISC));
    SF_TRY(sf_mem_resize(&w->sealed, (size_t)w->n_sealed + 2, sizeof *w->sealed, SF_MEM_MISC));
    for (int64_t i = 0; i < w->n; i++)
        SF_CHECK(strcmp(w->id[i], d->id) != 0, SF_EINVAL, "case '%s' was given twice", d->id);
    memcpy(w->id[w->n++], d->id, SF_CASE_ID_MAX);
    SF_GOTO(done, st, make_group(&group, w->cases, d->id));
    SF_GOTO(done, st, put_case_attributes(group, d, counts));
    if (d->channels > 0) SF_GOTO(done, st, make_array(o, group, d, SF_CASE_DATA));
    if (d->has_seg) SF_GOTO(done, st, make_array(o, group, d, SF_CASE_SEG));
    if (d->rows > 0) SF_GOTO(done, st, make_array(o, group, d, SF_CASE_LOC));
    for (int k = SF_CASE_DATA; k <= SF_CASE_SEG; k++) {
        if (o->dset[k] < 0) continue;
        sf_sealed *a = &w->sealed[w->n_sealed++];
        a->offset = o->info[k].offset;
        a->bytes = o->info[k].bytes;
        memcpy(a->sha256, d->sha256[k], sizeof a->sha256);
    }
done:
    if (group >= 0) H5Gclose(group);
    return st;
}

static sf_status write_case(open_case *o, const sf_prepared *p, int32_t (*rows)[3])
{
    const void *data[SF_CASE_ARRAYS] = { p->data, p->seg, rows };
    const hid_t type[SF_CASE_ARRAYS] = { H5T_NATIVE_FLOAT, H5T_NATIVE_INT16, H5T_NATIVE_INT32 };
    for (int k = 0; k < SF_CASE_ARRAYS; k++) {
        if (o->dset[k] < 0) continue;
        SF_TRY(sf_h5_write_rows(o->dset[k], &o->info[k], 0, o->info[k].dim[0], type[k], data[k]));
    }
    return SF_OK;
}

/* Create the cases of all ranks; the own one stays open in *own. */
static sf_status create_all(sf_cases_writer *w, open_case *own, void **all, const size_t *sizes)
{
    const open_case none = { .dset = { H5I_INVALID_HID, H5I_INVALID_HID, H5I_INVALID_HID } };
    *own = none;
    for (int r = 0; r < sf_comm_size(w->comm); r++) {
        open_case o = none;
        if (sizes[r] == 0) continue;
        const description *d = all[r];
        sf_status st = create_case(w, &o, d, (const int64_t *)(const void *)(d + 1));
        st = sf_comm_agree(w->comm, st); /* before the next collective call */
        if (r == sf_comm_rank(w->comm))
            *own = o;
        else
            close_case(&o);
        SF_TRY(st);
    }
    return SF_OK;
}

sf_status sf_cases_add_round(sf_cases_writer *w, const sf_prepared *mine)
{
    char *bytes = NULL;
    size_t size = 0, *sizes = NULL;
    int32_t(*rows)[3] = NULL;
    void **all = NULL;
    open_case own = { .dset = { H5I_INVALID_HID, H5I_INVALID_HID, H5I_INVALID_HID } };
    SF_CHECK(!w->failed, SF_EINTERNAL, "%s: writing goes on after a failure", w->path);
    sf_status st = describe(&bytes, &size, &rows, mine);
    SF_GOTO(done, st, sf_comm_agree(w->comm, st));
    SF_GOTO(done, st, sf_comm_allgather_bytes(w->comm, bytes, size, &all, &sizes));
    st = sf_h5_in_file(create_all(w, &own, all, sizes), w->path, 0);
    SF_GOTO(done, st, st);
    if (mine) st = sf_h5_in_file(write_case(&own, mine, rows), w->path, 0);
    SF_GOTO(done, st, sf_comm_agree(w->comm, st));
done:
    close_case(&own);
    w->failed = st != SF_OK;
    sf_mem_free(all);
    sf_mem_free(rows);
    sf_mem_free(bytes);
    return st;
}

/* ---- end ---------------------------------------------------------------------------------- */

static sf_status commit(sf_cases_writer *w)
{
    const int64_t complete = 1;
    sf_status st = sf_h5_put_i64(w->file, "complete", &complete, 1);
    close_file(w, &st);
    SF_TRY(sf_comm_agree(w->comm, sf_h5_in_file(st, w->path, 0))); /* nobody writes any more */
    if (sf_comm_rank(w->comm) == 0) {
        st = sf_trailer_append(w->tmp, w->sealed, w->n_sealed);
        if (st == SF_OK) st = sf_path_commit(w->tmp, w->path);
    }
    return sf_comm_agree(w->comm, st);
}

sf_status sf_cases_finish(sf_cases_writer **w, bool ok)
{
    if (*w == NULL) return SF_OK;
    sf_error_state error;
    const bool mine = ok && !(*w)->failed;
    if (ok && (*w)->failed) SF_FAIL(SF_ECOMM, "%s: abandoned after a failure", (*w)->path);
    /* SF_ECOMM carries this rank's last text to the others */
    sf_status st = sf_comm_agree((*w)->comm, mine ? SF_OK : SF_ECOMM);
    sf_error_save(&error, st);
    if (st == SF_OK) {
        st = commit(*w);
        sf_error_save(&error, st);
    } else {
        sf_status ignored = st;
        close_file(*w, &ignored);
        (void)sf_comm_barrier((*w)->comm);
    }
    if (st != SF_OK && sf_comm_rank((*w)->comm) == 0) unlink((*w)->tmp);
    free_writer(w);
    return st == SF_OK ? SF_OK : sf_error_restore(&error);
}
