/* Shared data, temporary folders, comparison. */
#include "tests/support/support.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/path.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char tmp_dir[SF_PATH_MAX];
static bool skipping;

/* Runs after every other exit handler: removes the folder, and fails a program that leaks. */
static void at_exit(void)
{
    if (tmp_dir[0] != 0) (void)sf_path_remove(tmp_dir);
    if (skipping || sf_mem_live(SF_MEM_CATEGORIES) == 0) return;
    fprintf(stderr, "LEAK: %lld bytes of sf_mem are still allocated at exit\n",
            (long long)sf_mem_live(SF_MEM_CATEGORIES));
    fflush(NULL);
    _exit(1);
}

__attribute__((constructor)) static void start(void) { atexit(at_exit); }

const char *tst_shared(const char *relative)
{
    static char ring[8][SF_PATH_MAX];
    static int next;
    const char *root = getenv("SEGFLEET_SHARED");
    if (root == NULL || root[0] == 0) return NULL;
    char *path = ring[next++ % 8];
    if (sf_path_join(path, root, relative, NULL) != SF_OK || access(path, R_OK) != 0) return NULL;
    return path;
}

void tst_skip(const char *reason)
{
    printf("SKIPPED: %s\n", reason);
    skipping = true;
    exit(77);
}

const char *tst_tmp_dir(void)
{
    if (tmp_dir[0] != 0) return tmp_dir;
    const char *root = getenv("TMPDIR");
    if (sf_path_join(tmp_dir, root != NULL ? root : "/tmp", "segfleet-test-XXXXXX", NULL) !=
            SF_OK ||
        mkdtemp(tmp_dir) == NULL) {
        perror("temporary folder");
        exit(1);
    }
    return tmp_dir;
}

void tst_ok_(int st, const char *call, const char *file, int line)
{
    if (st == SF_OK) return;
    print_error("%s\n  status: %s\n  text: %s\n%s", call, sf_status_name((sf_status)st),
                sf_error_text(), sf_error_trace());
    _fail(file, line);
}

/* A NaN counts as an infinite difference: it must never pass a tolerance. */
double tst_max_abs_diff(const float *a, const float *b, int64_t n)
{
    double worst = 0;
    for (int64_t i = 0; i < n; i++) {
        const double d = fabs((double)a[i] - (double)b[i]);
        if (isnan(d)) return INFINITY;
        if (d > worst) worst = d;
    }
    return worst;
}

double tst_max_abs(const float *a, int64_t n)
{
    double worst = 0;
    for (int64_t i = 0; i < n; i++) {
        const double d = fabs((double)a[i]);
        if (isnan(d)) return INFINITY;
        if (d > worst) worst = d;
    }
    return worst;
}
