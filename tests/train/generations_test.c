/** Two generations of checkpoints: whichever of them damage or a kill leaves leads to the bits of
 * the training that was never stopped. */
#include "store/arrays.h"
#include "tests/train/one_training.h"
#include <math.h>

/* A training of that name stopped with two generations, the older one step behind. */
static sf_train_options two_generations(const char *name)
{
    sf_train_options o = options(name);
    counter c = { 0, 2 };
    o.stop = stop_after;
    o.stop_user = &c;
    assert_int_equal(sf_train_run(sf_comm_self(), &o), SF_ESTOP);
    assert_false(sf_path_is_file(at(&o, "checkpoint_previous.h5")));
    c = (counter){ 0, 1 };
    assert_int_equal(sf_train_run(sf_comm_self(), &o), SF_ESTOP);
    assert_true(sf_path_is_file(at(&o, "checkpoint_previous.h5")));
    o.stop = NULL;
    return o;
}

static int64_t steps_in(const char *path)
{
    json_t *meta = NULL;
    sf_array *a = NULL;
    int64_t epoch, step;
    int n;
    tst_ok(sf_arrays_load(&a, &n, &meta, path, "params"));
    tst_ok(sf_json_get_int(&epoch, meta, "epoch", path));
    tst_ok(sf_json_get_int(&step, meta, "iteration", path));
    sf_arrays_free(&a, n);
    json_decref(meta);
    return epoch * ITERATIONS + step;
}

/** The newest is damaged or gone: the one before it leads to the same bits. */
static void older_generation(void **state)
{
    const sf_train_options reference = whole();
    (void)state;
    for (int gone = 0; gone < 2; gone++) {
        sf_train_options o = two_generations(gone ? "newest_gone" : "newest_damaged");
        const char *latest = at(&o, "checkpoint_latest.h5");
        assert_int_equal(steps_in(latest) - steps_in(at(&o, "checkpoint_previous.h5")), 1);
        if (gone)
            tst_ok(sf_path_remove(latest));
        else
            damage(latest);
        tst_ok(sf_train_run(sf_comm_self(), &o));
        assert_false(sf_path_is_file(at(&o, "checkpoint_previous.h5")));
        same_results(&reference, &o);
    }
}

static void both_generations_damaged(void **state)
{
    const sf_train_options o = two_generations("both");
    (void)state;
    damage(at(&o, "checkpoint_latest.h5"));
    damage(at(&o, "checkpoint_previous.h5"));
    refused(&o, SF_EDATA, "checkpoint_latest.h5");
    assert_non_null(strstr(sf_error_text(), "checkpoint_previous.h5"));
}

/** Killed between two generations: the complete new file is the one that counts. */
static void killed_between_generations(void **state)
{
    (void)state;
    for (int gone = 0; gone < 2; gone++) { /* before and after the latest was moved away */
        sf_train_options o = two_generations(gone ? "moved" : "not_moved");
        char next[SF_PATH_MAX];
        const char *latest = at(&o, "checkpoint_latest.h5"),
                   *previous = at(&o, "checkpoint_previous.h5");
        const int64_t newest = steps_in(latest);
        counter c = { 0, 1 };
        snprintf(next, sizeof next, "%s", at(&o, "checkpoint_next.h5"));
        assert_int_equal(rename(latest, next), 0);
        if (!gone) assert_int_equal(rename(previous, latest), 0);
        o.stop = stop_after;
        o.stop_user = &c;
        assert_int_equal(sf_train_run(sf_comm_self(), &o), SF_ESTOP);
        assert_false(sf_path_is_file(next));
        assert_int_equal(steps_in(latest), newest + 1);
        assert_int_equal(steps_in(previous), newest);
    }
}

typedef struct {
    const sf_train_options *o;
    int asked, seen; /* seen: calls at which a checkpoint was there */
} watcher;

static bool watch(void *user)
{
    watcher *w = user;
    w->asked++;
    w->seen += sf_path_is_file(at(w->o, "checkpoint_latest.h5"));
    return false;
}

/** By time: after every step when the time is shorter than one; the bits stay. */
static void checkpoints_by_time(void **state)
{
    const sf_train_options reference = whole();
    sf_train_options o = options("by_time"), never = options("not_by_time");
    watcher often = { .o = &o }, none = { .o = &never };
    (void)state;
    o.checkpoint_seconds = 1e-9;
    o.stop = watch;
    o.stop_user = &often;
    tst_ok(sf_train_run(sf_comm_self(), &o));
    never.checkpoint_seconds = 1e9;
    never.stop = watch;
    never.stop_user = &none;
    tst_ok(sf_train_run(sf_comm_self(), &never));
    /* the first call comes before the first file; validation asks when they are gone again */
    assert_int_equal(often.seen, often.asked - 1 - o.val->count);
    assert_int_equal(none.seen, 0);
    same_results(&reference, &o);
    same_results(&reference, &never);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(older_generation),
        cmocka_unit_test(both_generations_damaged),
        cmocka_unit_test(killed_between_generations),
        cmocka_unit_test(checkpoints_by_time),
    };
    return cmocka_run_group_tests(tests, make_world, end_world);
}
