/** One training on a phantom of a few small images: resumed after any stop, on any number of
 * threads, it writes the same bits; what is finished is kept; what cannot go on says why. */
#include "store/arrays.h"
#include "tests/train/one_training.h"
#include "train/validate.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int epochs_told(const sf_train_options *o)
{
    char *text;
    size_t size;
    int n = 0;
    tst_ok(sf_path_read(&text, &size, at(o, "history.jsonl"), 0));
    for (size_t i = 0; i < size; i++) n += text[i] == '\n';
    sf_mem_free(text);
    return n;
}

/* Every epoch says how long its steps waited for batches. */
static void wait_is_told(void **state)
{
    (void)state;
    const sf_train_options o = whole();
    char *text, *rest;
    size_t size;
    int lines = 0;
    tst_ok(sf_path_read(&text, &size, at(&o, "history.jsonl"), 0));
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        json_t *j = json_loads(line, 0, NULL);
        const double wait = json_real_value(json_object_get(j, "wait"));
        assert_true(wait > 0 && wait < json_real_value(json_object_get(j, "seconds")));
        json_decref(j);
        lines++;
    }
    assert_int_equal(lines, epochs_told(&o));
    assert_true(lines > 0);
    sf_mem_free(text);
}

static void stopped_every(int k)
{
    const sf_train_options reference = whole();
    char name[32];
    counter c = { 0 };
    int runs = 0, validations = 0;
    snprintf(name, sizeof name, "every_%d", k);
    sf_train_options o = options(name);
    o.stop_user = &c;
    for (sf_status st = SF_ESTOP; st == SF_ESTOP; runs++) {
        const bool trained = sf_path_is_file(at(&o, "checkpoint_final.h5"));
        assert_true(runs < 30);
        /* validation asks before each case, also of those that are there: one more every time */
        c = (counter){ 0, trained ? 2 + validations++ : k };
        o.stop = stop_after;
        o.threads = 1 + runs % 3;
        o.loader_threads = runs % 2;
        st = sf_train_run(sf_comm_self(), &o);
        if (st != SF_ESTOP) tst_ok(st);
    }
    assert_true(runs > 1);
    assert_int_equal(epochs_told(&o), EPOCHS);
    assert_false(sf_path_is_file(at(&o, "checkpoint_latest.h5")));
    same_results(&reference, &o);
}

static void stopped_after_every_step(void **state)
{
    (void)state;
    stopped_every(1);
}

static void stopped_now_and_then(void **state)
{
    (void)state;
    stopped_every(2);
    stopped_every(5); /* crosses the end of an epoch */
}

/** A kill right after the first epoch's lines were written: the epoch is repeated, not told twice.
 */
static void lines_of_a_killed_epoch(void **state)
{
    const sf_train_options reference = whole();
    sf_train_options o = options("killed");
    counter c = { 0, 1 };
    char *text;
    size_t size;
    (void)state;
    o.stop = stop_after;
    o.stop_user = &c;
    assert_int_equal(sf_train_run(sf_comm_self(), &o), SF_ESTOP);
    tst_ok(sf_path_read(&text, &size, at(&reference, "history.jsonl"), 0));
    tst_ok(sf_path_write(at(&o, "history.jsonl"), text, size - 5));
    sf_mem_free(text);
    o.stop = NULL;
    tst_ok(sf_train_run(sf_comm_self(), &o));
    assert_int_equal(epochs_told(&o), EPOCHS);
    same_results(&reference, &o);
}

/** Finished weights are validated, never trained again; another time only what is missing is made.
 */
static void validation_only(void **state)
{
    const sf_train_options reference = whole();
    sf_train_options o = options("validation");
    struct stat before, after;
    char path[SF_PATH_MAX];
    (void)state;
    tst_ok(sf_path_make_dirs(at(&o, "")));
    tst_ok(sf_path_copy(at(&reference, "checkpoint_final.h5"), at(&o, "checkpoint_final.h5")));
    tst_ok(sf_path_copy(at(&reference, "checkpoint_best.h5"), at(&o, "checkpoint_best.h5")));
    tst_ok(sf_path_copy(at(&reference, "checkpoint_best.h5"), at(&o, "checkpoint_latest.h5")));
    o.save_probabilities = false;
    assert_int_equal(stat(at(&o, "checkpoint_final.h5"), &before), 0);
    tst_ok(sf_train_run(sf_comm_self(), &o));
    tst_ok(sf_path_format(path, "%s/%s.h5", at(&o, "validation"), val.id[0]));
    assert_false(sf_path_is_file(path));
    o.save_probabilities = true;
    tst_ok(sf_train_run(sf_comm_self(), &o));
    assert_int_equal(stat(at(&o, "checkpoint_final.h5"), &after), 0);
    assert_true(before.st_ino == after.st_ino);
    assert_false(sf_path_is_file(at(&o, "history.jsonl")));
    assert_false(sf_path_is_file(at(&o, "checkpoint_latest.h5")));
    same_results(&reference, &o);
}

/** Predictions of an earlier training in the same folder must not be taken for new ones. */
static void old_predictions_go(void **state)
{
    const sf_train_options reference = whole();
    sf_train_options o = options("old");
    char name[300];
    (void)state;
    snprintf(name, sizeof name, "validation/%s.png", val.id[0]);
    tst_ok(sf_path_make_dirs(at(&o, "validation")));
    tst_ok(sf_path_copy(dataset->train[0].label, at(&o, name)));
    tst_ok(sf_train_run(sf_comm_self(), &o));
    same_results(&reference, &o);
}

static void other_options(void **state)
{
    const sf_train_options reference = whole();
    sf_train_options o = options("options");
    counter c = { 0, 1 };
    (void)state;
    o.stop = stop_after;
    o.stop_user = &c;
    assert_int_equal(sf_train_run(sf_comm_self(), &o), SF_ESTOP);
    const sf_train_options *made[2] = { &o, &reference };
    for (int i = 0; i < 2; i++) { /* begun, and finished */
        sf_train_options other = *made[i];
        const char *name = i == 0 ? "checkpoint_latest.h5" : "checkpoint_final.h5";
        other.epochs++;
        refused(&other, SF_EINVAL, name);
        other = *made[i];
        other.key.seed++;
        refused(&other, SF_EINVAL, "seed=5");
        other = *made[i];
        other.mirror = false;
        refused(&other, SF_EINVAL, "mirror_axes");
        other = *made[i];
        other.exact = true;
        refused(&other, SF_EINVAL, "exact");
        other = *made[i];
        other.precision = SF_BF16;
        refused(&other, SF_EINVAL, "precision");
    }
}

static void train_losses(double loss[EPOCHS], const sf_train_options *o)
{
    char *text, *rest;
    size_t size;
    int n = 0;
    tst_ok(sf_path_read(&text, &size, at(o, "history.jsonl"), 0));
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        json_t *j = json_loads(line, 0, NULL);
        assert_true(n < EPOCHS);
        loss[n++] = json_real_value(json_object_get(j, "train_loss"));
        json_decref(j);
    }
    assert_int_equal(n, EPOCHS);
    sf_mem_free(text);
}

/** A training in bfloat16 goes on in it, to the bits of the one that was not stopped, and not in
 *  float32. */
static void precision_is_kept(void **state)
{
    char hash[3][65];
    sf_train_options o[2] = { options("half"), options("half_stopped") };
    counter c = { 0, 5 };
    (void)state;
    for (int i = 0; i < 2; i++) o[i].precision = SF_BF16;
    o[1].stop = stop_after;
    o[1].stop_user = &c;
    tst_ok(sf_train_run(sf_comm_self(), &o[0]));
    assert_int_equal(sf_train_run(sf_comm_self(), &o[1]), SF_ESTOP);
    sf_train_options other = o[1];
    other.precision = SF_F32;
    refused(&other, SF_EINVAL, "precision");
    o[1].stop = NULL;
    tst_ok(sf_train_run(sf_comm_self(), &o[1]));
    const sf_train_options full = whole();
    tst_ok(sf_checkpoint_hash(at(&o[0], "checkpoint_final.h5"), hash[0]));
    tst_ok(sf_checkpoint_hash(at(&o[1], "checkpoint_final.h5"), hash[1]));
    tst_ok(sf_checkpoint_hash(at(&full, "checkpoint_final.h5"), hash[2]));
    assert_string_equal(hash[0], hash[1]);
    assert_string_not_equal(hash[0], hash[2]);
    /* the phantom's losses, epoch by epoch */
    double half[EPOCHS], float32[EPOCHS];
    train_losses(half, &o[0]);
    train_losses(float32, &full);
    for (int e = 0; e < EPOCHS; e++) {
        printf("    epoch %d: loss %.5f in bfloat16, %.5f in float32\n", e, half[e], float32[e]);
        assert_true(half[e] != float32[e] && fabs(half[e] - float32[e]) < 0.01);
    }
}

/** A weight that is no number: the loss is not, and nothing is written as finished. */
static void loss_is_not_finite(void **state)
{
    sf_train_options o = options("nan");
    counter c = { 0, 1 };
    sf_array *value = NULL, *momentum = NULL;
    json_t *meta = NULL;
    int n_value = 0, n_momentum = 0;
    (void)state;
    o.stop = stop_after;
    o.stop_user = &c;
    assert_int_equal(sf_train_run(sf_comm_self(), &o), SF_ESTOP);
    const char *latest = at(&o, "checkpoint_latest.h5");
    tst_ok(sf_arrays_load(&value, &n_value, &meta, latest, "params"));
    tst_ok(sf_arrays_load(&momentum, &n_momentum, NULL, latest, "momentum"));
    ((float *)(uintptr_t)value[0].data)[0] = NAN;
    const sf_array_group groups[] = { { "params", value, n_value },
                                      { "momentum", momentum, n_momentum } };
    tst_ok(sf_arrays_save(latest, groups, 2, meta));
    sf_arrays_free(&value, n_value);
    sf_arrays_free(&momentum, n_momentum);
    json_decref(meta);
    o.stop = NULL;
    refused(&o, SF_EDATA, "not finite");
    assert_non_null(strstr(sf_error_text(), "fold_0"));
    assert_false(sf_path_is_file(at(&o, "checkpoint_final.h5")));
}

static void damaged_checkpoint(void **state)
{
    sf_train_options o = options("damaged");
    counter c = { 0, 2 };
    (void)state;
    o.stop = stop_after;
    o.stop_user = &c;
    assert_int_equal(sf_train_run(sf_comm_self(), &o), SF_ESTOP);
    damage(at(&o, "checkpoint_latest.h5"));
    refused(&o, SF_EDATA, "checkpoint_latest.h5");
}

static void fold_all(void **state)
{
    sf_train_options o = options("all");
    sf_summary *s = NULL;
    (void)state;
    o.key.fold = SF_FOLD_ALL;
    o.train = o.val = &all;
    o.epochs = 1;
    o.iterations = 1;
    tst_ok(sf_train_run(sf_comm_self(), &o));
    assert_non_null(strstr(at(&o, "x"), "/fold_all/"));
    tst_ok(sf_summary_load(&s, &dataset->labels, at(&o, "validation/summary.json")));
    assert_int_equal(s->n_cases, CASES);
    sf_summary_destroy(&s);
    assert_true(sf_validate_complete(at(&o, ""), &all, true));
    tst_ok(sf_path_remove(at(&o, "validation/summary.json")));
    assert_false(sf_validate_complete(at(&o, ""), &all, false));
}

/** `train --val`: everything that validation wrote is made anew, from the finished weights alone.
 */
static void validated_anew(void **state)
{
    const sf_train_options reference = whole();
    sf_train_options o = options("anew");
    (void)state;
    o.part = SF_TRAIN_VALIDATE;
    refused(&o, SF_EINVAL, "checkpoint_final.h5 is not there");
    tst_ok(sf_path_make_dirs(at(&o, "validation")));
    tst_ok(sf_path_copy(at(&reference, "checkpoint_final.h5"), at(&o, "checkpoint_final.h5")));
    tst_ok(sf_path_copy(at(&reference, "checkpoint_best.h5"), at(&o, "checkpoint_best.h5")));
    tst_ok(sf_path_write(at(&o, "validation/summary.json"), "{}", 2));
    tst_ok(sf_train_run(sf_comm_self(), &o));
    same_results(&reference, &o);
    assert_false(sf_path_is_file(at(&o, "history.jsonl")));
}

/** `train --val-best`: beside the validation that counts, which stays as it is. */
static void best_validated(void **state)
{
    const sf_train_options reference = whole();
    sf_train_options o = options("best"), whole_again = o;
    (void)state;
    o.part = SF_TRAIN_VALIDATE_BEST;
    refused(&o, SF_EINVAL, "checkpoint_best.h5 is not there");
    tst_ok(sf_path_make_dirs(at(&o, "")));
    tst_ok(sf_path_copy(at(&reference, "checkpoint_best.h5"), at(&o, "checkpoint_best.h5")));
    tst_ok(sf_train_run(sf_comm_self(), &o));
    assert_true(sf_path_is_file(at(&o, "validation_best/summary.json")));
    assert_false(sf_path_is_dir(at(&o, "validation")));
    /* the same as if these weights had been the final ones */
    tst_ok(sf_path_copy(at(&o, "checkpoint_best.h5"), at(&o, "checkpoint_final.h5")));
    tst_ok(sf_train_run(sf_comm_self(), &whole_again));
    char *x, *y;
    size_t nx, ny;
    tst_ok(sf_path_read(&x, &nx, at(&o, "validation/summary.json"), 0));
    tst_ok(sf_path_read(&y, &ny, at(&o, "validation_best/summary.json"), 0));
    assert_string_equal(x, y);
    sf_mem_free(x);
    sf_mem_free(y);
}

/** `train --disable-checkpointing`: the same validation, no weights, and the fold is not done. */
static void no_checkpoints(void **state)
{
    const sf_train_options reference = whole();
    sf_train_options o = options("none");
    counter c = { 0, 1 };
    (void)state;
    o.no_checkpoints = true;
    o.checkpoint_seconds = 1e-9;
    o.stop = stop_after;
    o.stop_user = &c;
    refused(&o, SF_ESTOP, "start anew");
    o.stop = NULL;
    tst_ok(sf_train_run(sf_comm_self(), &o));
    same_file(&reference, &o, "validation/summary.json");
    static const char *const name[] = { "latest", "best", "final" };
    for (int i = 0; i < 3; i++) {
        char file[64];
        snprintf(file, sizeof file, "checkpoint_%s.h5", name[i]);
        assert_false(sf_path_is_file(at(&o, file)));
    }
    assert_true(sf_validate_complete(at(&o, ""), &val, true));
    assert_false(sf_train_is_done(o.work, &o.key, plans, &val, true));
    assert_true(sf_train_is_done(reference.work, &reference.key, plans, &val, true));
}

/** Parameters of a checkpoint by name. */
static const sf_array *array_of(const sf_array *a, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(a[i].name, name) == 0) return &a[i];
    fail_msg("no %s", name);
    return NULL;
}

/** Fine-tuning with learning rate 0: all but the heads are the given weights, the heads are new; it
 * continues only from the same file. */
static void pretrained(void **state)
{
    const sf_train_options reference = whole();
    sf_train_options o = options("pretrained");
    static char file[SF_PATH_MAX];
    sf_array *from = NULL, *to = NULL;
    int n = 0, m = 0, heads = 0;
    counter c = { 0, 1 };
    (void)state;
    snprintf(file, sizeof file, "%s", at(&reference, "checkpoint_final.h5"));
    o.pretrained = file;
    o.key.seed = 77;
    o.stop = stop_after;
    o.stop_user = &c;
    const double lr = plans->recipe->train.lr;
    plans->recipe->train.lr = 0;
    assert_int_equal(sf_train_run(sf_comm_self(), &o), SF_ESTOP);
    plans->recipe->train.lr = lr;
    tst_ok(sf_arrays_load(&from, &n, NULL, file, "params"));
    tst_ok(sf_arrays_load(&to, &m, NULL, at(&o, "checkpoint_latest.h5"), "params"));
    assert_int_equal(n, m);
    for (int i = 0; i < n; i++) {
        const sf_array *a = &from[i], *b = array_of(to, m, a->name);
        const bool same = memcmp(a->data, b->data, (size_t)a->count * sizeof(float)) == 0;
        const bool head = strstr(a->name, ".seg_layers.") != NULL;
        const bool bias = strstr(a->name, ".bias") != NULL; /* of an untrained head: 0 */
        if (!head && !same) fail_msg("%s was not taken over", a->name);
        if (head && !bias && same) fail_msg("%s is not new", a->name);
        heads += head;
    }
    assert_true(heads > 0 && heads < n);
    sf_arrays_free(&from, n);
    sf_arrays_free(&to, m);
    o.pretrained = NULL;
    refused(&o, SF_EINVAL, "another 'pretrained'");
    o.pretrained = container; /* any other file */
    refused(&o, SF_EINVAL, "another 'pretrained'");
    o.pretrained = "/nonexistent.pth";
    refused(&o, SF_EIO, "/nonexistent.pth");
    o.pretrained = file;
    o.stop = NULL;
    tst_ok(sf_train_run(sf_comm_self(), &o));
}

/** A file of another network is refused by the name of the first weight that does not fit. */
static void foreign_weights(void **state)
{
    const sf_train_options reference = whole();
    sf_plans *other = NULL;
    sf_train_options o = options("foreign");
    (void)state;
    tst_ok(sf_plans_vary(&other, plans, "three_convs"));
    o.plans = other;
    o.pretrained = at(&reference, "checkpoint_final.h5");
    refused(&o, SF_EDATA,
            "encoder.stages.0.0.convs.0.conv.weight has shape [32, 1, 3, 3], the plan "
            "asks for [24, 1, 3, 3]");
    assert_false(sf_path_is_file(at(&o, "checkpoint_latest.h5")));
    sf_plans_destroy(&other);
}

/** Without deep supervision only the full-resolution head learns: the others stay untrained. */
static void deep_supervision_off(void **state)
{
    sf_plans *off = NULL;
    sf_train_options o = options("no_deep_supervision");
    sf_array *momentum = NULL;
    int n = 0, heads = 0;
    (void)state;
    tst_ok(sf_plans_vary(&off, plans, "no_deep_supervision"));
    o.plans = off;
    o.key.variant = off->variant;
    tst_ok(sf_train_run(sf_comm_self(), &o));
    assert_non_null(strstr(at(&o, "x"), "/results/2d/no_deep_supervision_seed_5/fold_0/"));
    tst_ok(sf_arrays_load(&momentum, &n, NULL, at(&o, "checkpoint_final.h5"), "momentum"));
    for (int i = 0; i < n; i++) heads += strstr(momentum[i].name, ".seg_layers.") != NULL;
    assert_int_equal(heads, 2); /* weight and bias of one */
    sf_arrays_free(&momentum, n);
    sf_plans_destroy(&off);
}

/** A variant trains otherwise from the first step on, and its checkpoints are its own. */
static void variants_differ(void **state)
{
    static const char *const name[] = { "ce", "momentum09", "no_da", "relu", "constant_lr" };
    const sf_train_options reference = whole();
    char hash[6][65];
    (void)state;
    tst_ok(sf_checkpoint_hash(at(&reference, "checkpoint_final.h5"), hash[5]));
    for (int i = 0; i < 5; i++) {
        sf_plans *v = NULL;
        sf_train_options o = options("variants");
        tst_ok(sf_plans_vary(&v, plans, name[i]));
        o.plans = v;
        o.key.variant = v->variant;
        tst_ok(sf_train_run(sf_comm_self(), &o));
        tst_ok(sf_checkpoint_hash(at(&o, "checkpoint_final.h5"), hash[i]));
        for (int k = 0; k < 6; k++)
            if ((k < i || k == 5) && strcmp(hash[i], hash[k]) == 0)
                fail_msg("%s ends with the weights of another", name[i]);
        sf_plans_destroy(&v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wait_is_told),         cmocka_unit_test(stopped_after_every_step),
        cmocka_unit_test(stopped_now_and_then), cmocka_unit_test(lines_of_a_killed_epoch),
        cmocka_unit_test(validation_only),      cmocka_unit_test(old_predictions_go),
        cmocka_unit_test(other_options),        cmocka_unit_test(loss_is_not_finite),
        cmocka_unit_test(damaged_checkpoint),   cmocka_unit_test(fold_all),
        cmocka_unit_test(validated_anew),       cmocka_unit_test(best_validated),
        cmocka_unit_test(no_checkpoints),       cmocka_unit_test(pretrained),
        cmocka_unit_test(foreign_weights),      cmocka_unit_test(deep_supervision_off),
        cmocka_unit_test(variants_differ),      cmocka_unit_test(precision_is_kept),
    };
    return cmocka_run_group_tests(tests, make_world, end_world);
}
