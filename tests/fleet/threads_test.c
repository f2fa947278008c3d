/* Threads: affinity mask and quotas of control groups, on made-up trees. */
#include "base/path.h"
#include "fleet/threads.h"
#include "tests/support/support.h"
#include <sched.h>
#include <string.h>

static void put(const char *root, const char *file, const char *text)
{
    char path[SF_PATH_MAX], dir[SF_PATH_MAX];
    tst_ok(sf_path_format(path, "%s/%s", root, file));
    strcpy(dir, path);
    *strrchr(dir, '/') = 0;
    tst_ok(sf_path_make_dirs(dir));
    tst_ok(sf_path_write(path, text, strlen(text)));
}

static const char *tree(const char *name)
{
    static char root[SF_PATH_MAX];
    tst_ok(sf_path_join(root, tst_tmp_dir(), name, NULL));
    return root;
}

static void test_version_2(void **state)
{
    (void)state;
    const char *r = tree("v2");
    put(r, "proc/self/cgroup", "0::/slurm/job_7/step_0\n");
    put(r, "sys/fs/cgroup/slurm/job_7/step_0/cpu.max", "max 100000\n");
    assert_true(sf_threads_quota(r) == 0);
    put(r, "sys/fs/cgroup/slurm/job_7/cpu.max", "350000 100000\n");
    assert_true(sf_threads_quota(r) == 3.5);
    put(r, "sys/fs/cgroup/slurm/cpu.max", "800000 100000\n"); /* above: more, does not matter */
    assert_true(sf_threads_quota(r) == 3.5);
    put(r, "sys/fs/cgroup/slurm/job_7/step_0/cpu.max", "50000 100000\n");
    assert_true(sf_threads_quota(r) == 0.5);
}

/* Inside a container the group's own path is not visible, but its limits lie at the mount. */
static void test_container(void **state)
{
    (void)state;
    const char *r = tree("container");
    put(r, "proc/self/cgroup", "0::/system.slice/pod_1\n");
    put(r, "sys/fs/cgroup/cpu.max", "200000 100000\n");
    assert_true(sf_threads_quota(r) == 2);
}

static void test_version_1(void **state)
{
    (void)state;
    const char *r = tree("v1");
    put(r, "proc/self/cgroup",
        "9:cpuset:/job\n4:cpu,cpuacct:/job/step\n1:name=systemd:/job\n0::/\n");
    put(r, "sys/fs/cgroup/cpuset/job/cpu.cfs_quota_us", "1000\n"); /* not the cpu hierarchy */
    put(r, "sys/fs/cgroup/cpuset/job/cpu.cfs_period_us", "100000\n");
    assert_true(sf_threads_quota(r) == 0);
    put(r, "sys/fs/cgroup/cpu,cpuacct/job/step/cpu.cfs_quota_us", "-1\n");
    put(r, "sys/fs/cgroup/cpu,cpuacct/job/step/cpu.cfs_period_us", "100000\n");
    assert_true(sf_threads_quota(r) == 0);
    put(r, "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "600000\n");
    put(r, "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
    assert_true(sf_threads_quota(r) == 6);
}

static void test_nothing_there(void **state)
{
    (void)state;
    const char *r = tree("nothing");
    assert_true(sf_threads_quota(r) == 0);
    put(r, "proc/self/cgroup", "nonsense\n0:\n4:cpu\n::\n");
    put(r, "sys/fs/cgroup/cpu.max", "garbage\n");
    assert_true(sf_threads_quota(r) == 0);
}

/* What taskset does: one processor left, so one thread, however many are asked for. */
static void test_affinity(void **state)
{
    (void)state;
    cpu_set_t before, one;
    int threads = 0, first = 0;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    const int available = sf_threads_available();
    assert_true(available >= 1 && available <= CPU_COUNT(&before));
    while (!CPU_ISSET(first, &before)) first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(sf_threads_available(), 1);
    tst_ok(sf_threads_decide(&threads, sf_comm_self(), 64));
    assert_int_equal(threads, 1);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    tst_ok(sf_threads_decide(&threads, sf_comm_self(), 0));
    assert_int_equal(threads, available);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_version_2),
                                        cmocka_unit_test(test_container),
                                        cmocka_unit_test(test_version_1),
                                        cmocka_unit_test(test_nothing_there),
                                        cmocka_unit_test(test_affinity) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
