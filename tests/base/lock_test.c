/* Locks between processes: alone or shared, refused by name, given back by the system after a kill.
 */
#include "base/lock.h"
#include "base/path.h"
#include "tests/support/support.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char file[SF_PATH_MAX];

/* A child that holds the lock until it is killed. */
static pid_t holder(bool shared)
{
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) {
        int lock;
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody behind */
        byte = sf_lock_take(&lock, file, shared, "it") == SF_OK ? 'y' : 'n';
        if (write(ready[1], &byte, 1) != 1) _Exit(1);
        for (;;) pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    close(ready[0]);
    close(ready[1]);
    return child;
}

static void end(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

/* The next file would get this number: higher after each one that is left open. */
static int next_fd(void)
{
    const int fd = dup(STDOUT_FILENO);
    close(fd);
    return fd;
}

static void alone(void **state)
{
    char number[32];
    int lock;
    struct stat before, after;
    (void)state;
    tst_ok(sf_path_write(file, "kept", 4));
    const pid_t child = holder(false);
    assert_int_equal(stat(file, &before), 0);
    snprintf(number, sizeof number, "process %ld:", (long)child);
    const int fd = next_fd();
    for (int shared = 0; shared < 2; shared++) {
        assert_int_equal(sf_lock_take(&lock, file, shared, "the folder W"), SF_EINVAL);
        assert_int_equal(lock, -1);
        assert_non_null(strstr(sf_error_text(), "the folder W is in use by"));
        assert_non_null(strstr(sf_error_text(), number));
    }
    assert_int_equal(next_fd(), fd);
    end(child);
    tst_ok(sf_lock_take(&lock, file, false, "W"));
    assert_true(lock >= 0);
    assert_true(fcntl(lock, F_GETFD) & FD_CLOEXEC);
    sf_lock_release(&lock);
    assert_int_equal(lock, -1);
    sf_lock_release(&lock);
    assert_int_equal(stat(file, &after), 0);
    assert_int_equal(before.st_mtime, after.st_mtime);
    assert_int_equal(after.st_size, 4);
}

static void shared(void **state)
{
    int lock;
    (void)state;
    const pid_t child = holder(true);
    tst_ok(sf_lock_take(&lock, file, true, "W"));
    sf_lock_release(&lock);
    assert_int_equal(sf_lock_take(&lock, file, false, "W"), SF_EINVAL);
    end(child);
    tst_ok(sf_lock_take(&lock, file, false, "W"));
    sf_lock_release(&lock);
}

static void no_folder(void **state)
{
    int lock;
    (void)state;
    assert_int_equal(sf_lock_take(&lock, "/nonexistent/lock", false, "W"), SF_EIO);
    assert_non_null(strstr(sf_error_text(), "/nonexistent/lock"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone),
        cmocka_unit_test(shared),
        cmocka_unit_test(no_folder),
    };
    tst_ok(sf_path_join(file, tst_tmp_dir(), "lock", NULL));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
