#include "train/history.h"
#include "base/mem.h"
#include "base/path.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Length of the text that belongs to epochs below `epoch`; a torn last line ends it. */
static size_t keep_length(char *text, size_t size, int64_t epoch)
{
    size_t kept = 0;
    while (kept < size) {
        char *line = text + kept, *end = memchr(line, '\n', size - kept);
        if (!end) break;
        json_t *j = json_loadb(line, (size_t)(end - line), 0, NULL);
        const json_t *e = json_object_get(j, "epoch");
        const bool keep = json_is_integer(e) && json_integer_value(e) < epoch;
        json_decref(j);
        if (!keep) break;
        kept = (size_t)(end - text) + 1;
    }
    return kept;
}

sf_status sf_history_cut(const char *path, int64_t epoch)
{
    if (!sf_path_is_file(path)) return SF_OK;
    char *text = NULL;
    size_t size = 0;
    SF_TRY(sf_path_read(&text, &size, path, 0));
    const size_t kept = keep_length(text, size, epoch);
    sf_status st = kept == size ? SF_OK : sf_path_write(path, text, kept);
    sf_mem_free(text);
    return st;
}

/* JSON has no NaN, and every line must be readable by any tool. */
static json_t *number(double x) { return x == x ? sf_json_real(x) : json_null(); }

static json_t *to_json(const sf_epoch_record *r)
{
    json_t *j = json_object(), *classes = json_array();
    if (!j || !classes) {
        json_decref(j);
        json_decref(classes);
        return NULL;
    }
    for (int i = 0; i < r->n_classes; i++) {
        json_array_append_new(classes, number(r->class_dice[i]));
    }
    json_object_set_new(j, "epoch", json_integer(r->epoch));
    json_object_set_new(j, "lr", number(r->lr));
    json_object_set_new(j, "train_loss", number(r->train_loss));
    json_object_set_new(j, "val_loss", number(r->val_loss));
    json_object_set_new(j, "dice", number(r->dice));
    json_object_set_new(j, "ema", number(r->ema));
    json_object_set_new(j, "class_dice", classes);
    json_object_set_new(j, "seconds", number(r->seconds));
    json_object_set_new(j, "wait", number(r->wait));
    return j;
}

sf_status sf_history_append(const char *path, const sf_epoch_record *r)
{
    json_t *j = to_json(r);
    char *line = NULL;
    sf_status st;
    FILE *f = NULL;
    SF_CHECK_GOTO(done, st, j, SF_ENOMEM, "out of memory");
    SF_GOTO(done, st, sf_json_dump(&line, j, 0, false));
    f = fopen(path, "a");
    SF_CHECK_GOTO(done, st, f, SF_EIO, "%s: %s", path, strerror(errno));
    const bool written = fprintf(f, "%s\n", line) > 0 && fflush(f) == 0 && fsync(fileno(f)) == 0;
    SF_CHECK_GOTO(done, st, written, SF_EIO, "%s: %s", path, strerror(errno));
done:
    if (f) fclose(f);
    sf_mem_free(line);
    json_decref(j);
    return st;
}
