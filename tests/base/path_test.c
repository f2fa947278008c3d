/* Joining, folders, listing, and files that appear whole or not at all. */
#include "base/mem.h"
#include "base/path.h"
#include "tests/support/support.h"
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void in_tmp(char out[SF_PATH_MAX], const char *name)
{
    tst_ok(sf_path_join(out, tst_tmp_dir(), name, NULL));
}

static void joins(void **state)
{
    (void)state;
    char p[SF_PATH_MAX], longer[SF_PATH_MAX + 10];
    tst_ok(sf_path_join(p, "a", "b", NULL));
    assert_string_equal(p, "a/b");
    tst_ok(sf_path_join(p, "a/", "b", "c"));
    assert_string_equal(p, "a/b/c");
    tst_ok(sf_path_join(p, "/", "b", NULL));
    assert_string_equal(p, "/b");
    tst_ok(sf_path_format(p, "fold_%d", 3));
    assert_string_equal(p, "fold_3");
    assert_string_equal(sf_path_base("a/b/c.txt"), "c.txt");
    assert_string_equal(sf_path_base("c.txt"), "c.txt");
    assert_string_equal(sf_path_base("a/"), "");
    memset(longer, 'x', sizeof longer);
    longer[SF_PATH_MAX - 2] = 0;
    assert_int_equal(sf_path_join(p, longer, "y", NULL), SF_EINVAL);
    longer[SF_PATH_MAX - 3] = 0;
    tst_ok(sf_path_join(p, longer, "y", NULL));
}

static void folders(void **state)
{
    (void)state;
    char dir[SF_PATH_MAX], file[SF_PATH_MAX], below[SF_PATH_MAX];
    in_tmp(dir, "x/y/z");
    tst_ok(sf_path_make_dirs(dir));
    tst_ok(sf_path_make_dirs(dir));
    assert_true(sf_path_is_dir(dir));
    assert_false(sf_path_is_file(dir));
    tst_ok(sf_path_join(file, dir, "f", NULL));
    tst_ok(sf_path_write(file, "1", 1));
    assert_true(sf_path_is_file(file));
    tst_ok(sf_path_join(below, file, "g", NULL));
    assert_int_equal(sf_path_make_dirs(below), SF_EIO);
    assert_int_equal(sf_path_make_dirs(""), SF_EINVAL);
    in_tmp(dir, "x");
    tst_ok(sf_path_remove(dir));
    assert_false(sf_path_is_dir(dir));
    tst_ok(sf_path_remove(dir));
}

static void remove_follows_no_links(void **state)
{
    (void)state;
    char keep[SF_PATH_MAX], dir[SF_PATH_MAX], link[SF_PATH_MAX], file[SF_PATH_MAX];
    in_tmp(keep, "keep");
    in_tmp(dir, "gone");
    tst_ok(sf_path_make_dirs(keep));
    tst_ok(sf_path_make_dirs(dir));
    tst_ok(sf_path_join(file, keep, "file", NULL));
    tst_ok(sf_path_write(file, "", 0));
    tst_ok(sf_path_join(link, dir, "link", NULL));
    assert_int_equal(symlink(keep, link), 0);
    tst_ok(sf_path_remove(dir));
    assert_true(sf_path_is_file(file));
}

static void lists(void **state)
{
    (void)state;
    char dir[SF_PATH_MAX], path[SF_PATH_MAX], **names = NULL;
    static const char *const made[] = { "b", "a10", "a2", "C", ".hidden" }, *const want[] = {
        ".hidden", "C", "a10", "a2", "b"
    };
    size_t n = 0;
    in_tmp(dir, "list");
    assert_int_equal(sf_path_list(&names, &n, dir), SF_EIO);
    assert_null(names);
    tst_ok(sf_path_make_dirs(dir));
    tst_ok(sf_path_list(&names, &n, dir));
    assert_int_equal(n, 0);
    sf_path_free_list(&names, n);
    for (int i = 0; i < 5; i++) {
        tst_ok(sf_path_join(path, dir, made[i], NULL));
        tst_ok(sf_path_write(path, "", 0));
    }
    tst_ok(sf_path_list(&names, &n, dir));
    assert_int_equal(n, 5);
    for (size_t i = 0; i < n; i++) assert_string_equal(names[i], want[i]);
    sf_path_free_list(&names, n);
    assert_null(names);
}

static void reads(void **state)
{
    (void)state;
    char path[SF_PATH_MAX], *data = NULL;
    size_t n = 0;
    in_tmp(path, "r");
    assert_int_equal(sf_path_read(&data, &n, path, 0), SF_EIO);
    assert_non_null(strstr(sf_error_text(), path));
    assert_int_equal(sf_path_read(&data, &n, tst_tmp_dir(), 0), SF_EIO);
    tst_ok(sf_path_write(path, "a\0b", 3));
    tst_ok(sf_path_read(&data, &n, path, 3));
    assert_int_equal(n, 3);
    assert_memory_equal(data, "a\0b", 4);
    sf_mem_free(data);
    assert_int_equal(sf_path_read(&data, &n, path, 2), SF_EIO);
    assert_null(data);
    tst_ok(sf_path_read(&data, &n, "/proc/self/maps", 0)); /* claims size 0 */
    assert_true(n > 0 && strlen(data) == n);
    sf_mem_free(data);
}

static size_t files_in(const char *dir)
{
    char **names = NULL;
    size_t n = 0;
    tst_ok(sf_path_list(&names, &n, dir));
    sf_path_free_list(&names, n);
    return n;
}

static void failed_write_leaves_the_old_file(void **state)
{
    (void)state;
    char dir[SF_PATH_MAX], path[SF_PATH_MAX], tmp[SF_PATH_MAX], *data = NULL;
    in_tmp(dir, "atomic");
    tst_ok(sf_path_make_dirs(dir));
    tst_ok(sf_path_join(path, dir, "f", NULL));
    tst_ok(sf_path_write(path, "old", 3));
    /* A folder stands where the temporary file should go. */
    tst_ok(sf_path_tmp_name(tmp, path));
    assert_int_equal(mkdir(tmp, 0777), 0);
    assert_int_equal(sf_path_write(path, "new", 3), SF_EIO);
    tst_ok(sf_path_read(&data, NULL, path, 0));
    assert_string_equal(data, "old");
    sf_mem_free(data);
    tst_ok(sf_path_remove(tmp));
    /* A folder stands where the file should go: the temporary file must not stay. */
    tst_ok(sf_path_join(path, dir, "g", NULL));
    tst_ok(sf_path_make_dirs(path));
    assert_int_equal(sf_path_write(path, "new", 3), SF_EIO);
    assert_int_equal(files_in(dir), 2);
}

static void full_disk_is_reported(void **state)
{
    (void)state;
    if (access("/dev/full", W_OK) != 0) skip();
    char dir[SF_PATH_MAX], path[SF_PATH_MAX], tmp[SF_PATH_MAX];
    in_tmp(dir, "full");
    tst_ok(sf_path_make_dirs(dir));
    tst_ok(sf_path_join(path, dir, "f", NULL));
    tst_ok(sf_path_tmp_name(tmp, path));
    assert_int_equal(symlink("/dev/full", tmp), 0);
    assert_int_equal(sf_path_write(path, "data", 4), SF_EIO);
    assert_non_null(strstr(sf_error_text(), "No space left"));
    assert_int_equal(files_in(dir), 0);
}

/* A reader never sees a mixture while another process replaces the file again and again. */
static void readers_see_whole_files(void **state)
{
    (void)state;
    enum { SIZE = 100000, ROUNDS = 100 };
    static char block[SIZE];
    char path[SF_PATH_MAX];
    in_tmp(path, "whole");
    memset(block, 'a', SIZE);
    tst_ok(sf_path_write(path, block, SIZE));
    const pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < ROUNDS; i++) {
            memset(block, 'a' + i % 2, SIZE);
            if (sf_path_write(path, block, SIZE) != SF_OK) _exit(1);
        }
        _exit(0);
    }
    int status = 1;
    while (waitpid(child, &status, WNOHANG) == 0) {
        char *data = NULL;
        size_t n = 0;
        tst_ok(sf_path_read(&data, &n, path, 0));
        assert_int_equal(n, SIZE);
        for (size_t i = 1; i < n; i++)
            if (data[i] != data[0]) fail_msg("mixture at byte %zu", i);
        sf_mem_free(data);
    }
    assert_int_equal(status, 0);
}

static void sweeps_and_copies(void **state)
{
    (void)state;
    char dir[SF_PATH_MAX], a[SF_PATH_MAX], b[SF_PATH_MAX], *data = NULL;
    size_t n = 0;
    in_tmp(dir, "sweep");
    tst_ok(sf_path_make_dirs(dir));
    tst_ok(sf_path_join(a, dir, "a", NULL));
    tst_ok(sf_path_join(b, dir, "a.tmp.123", NULL));
    tst_ok(sf_path_write(a, "x\0y", 3));
    tst_ok(sf_path_write(b, "", 0));
    tst_ok(sf_path_sweep_tmp(dir));
    assert_true(sf_path_is_file(a));
    assert_false(sf_path_is_file(b));
    tst_ok(sf_path_join(b, dir, "b", NULL));
    tst_ok(sf_path_copy(a, b));
    tst_ok(sf_path_read(&data, &n, b, 0));
    assert_int_equal(n, 3);
    assert_memory_equal(data, "x\0y", 3);
    sf_mem_free(data);
    assert_int_equal(files_in(dir), 2);
    tst_ok(sf_path_join(a, dir, "missing", NULL));
    assert_int_equal(sf_path_copy(a, b), SF_EIO);
}

static void commit_of_nothing_fails(void **state)
{
    (void)state;
    char tmp[SF_PATH_MAX], path[SF_PATH_MAX];
    in_tmp(path, "never");
    tst_ok(sf_path_tmp_name(tmp, path));
    assert_non_null(strstr(tmp, "/never.tmp."));
    assert_int_equal(sf_path_commit(tmp, path), SF_EIO);
    assert_false(sf_path_is_file(path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joins),
        cmocka_unit_test(folders),
        cmocka_unit_test(remove_follows_no_links),
        cmocka_unit_test(lists),
        cmocka_unit_test(reads),
        cmocka_unit_test(failed_write_leaves_the_old_file),
        cmocka_unit_test(full_disk_is_reported),
        cmocka_unit_test(readers_see_whole_files),
        cmocka_unit_test(sweeps_and_copies),
        cmocka_unit_test(commit_of_nothing_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
