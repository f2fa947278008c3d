/** JSON on top of jansson, which keeps the order of keys. Adds: files with clear errors, bare NaN
 *  and Infinity (nnU-Net writes them), shortest round-trip numbers, atomic saving.
 *
 *  NaN travels through json_t as a private string: make numbers with sf_json_real and read them
 * with sf_json_num. A file that holds such a string itself, or a key twice, is refused. Not
 * collective. Thread-safe on different values (jansson counts references without a lock). A json_t
 * is freed with json_decref; results of sf_json_get* are borrowed from the object. */
#ifndef SF_BASE_JSON_H
#define SF_BASE_JSON_H
#include "base/error.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/** Parse a file. SF_EIO when it cannot be read, SF_EDATA with file, line and reason when it is not
 * JSON. */
sf_status sf_json_load(json_t **out, const char *path);
/** Parse text; `name` stands in errors for the file. */
sf_status sf_json_parse(json_t **out, const char *text, const char *name);
/** Python's json.dump form: indent (0 = one line), ASCII escapes kept as UTF-8, floats in shortest
 *  round-trip form ("1.0", "1e-05", NaN). sort = keys sorted. Caller frees with sf_mem_free. */
sf_status sf_json_dump(char **out, const json_t *v, int indent, bool sort);
/** sf_json_dump to a file by temp + fsync + rename, with a final newline. */
sf_status sf_json_save(const json_t *v, const char *path, int indent, bool sort);

json_t *sf_json_real(double x);       /* also NaN, +-Inf; never NULL but when out of memory */
bool sf_json_is_num(const json_t *v); /* integer, real, or our NaN/Inf */
double sf_json_num(const json_t *v);  /* NaN when not a number */

/* Typed access. SF_EDATA says `where` (the file), the key, and what it must be. A real with a whole
 * value (3.0) passes as an integer: NumPy users write such. *out is unspecified after a failure. */
sf_status sf_json_get(json_t **out, const json_t *obj, const char *key, const char *where);
sf_status sf_json_get_str(const char **out, const json_t *obj, const char *key, const char *where);
sf_status sf_json_get_int(int64_t *out, const json_t *obj, const char *key, const char *where);
sf_status sf_json_get_num(double *out, const json_t *obj, const char *key, const char *where);
sf_status sf_json_get_bool(bool *out, const json_t *obj, const char *key, const char *where);
/** A list of exactly n numbers into out[n]. */
sf_status sf_json_get_ints(int64_t *out, int n, const json_t *obj, const char *key,
                           const char *where);
sf_status sf_json_get_nums(double *out, int n, const json_t *obj, const char *key,
                           const char *where);
/** New lists; NULL when out of memory. The caller owns them (or json_object_set_new takes them). */
json_t *sf_json_ints(const int64_t *v, int n);
json_t *sf_json_nums(const double *v, int n);

#endif
