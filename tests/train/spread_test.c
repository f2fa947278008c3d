/* One case predicted by a group of ranks: the bits of one rank, for 2-D and 3-D, one fold and two,
 * with the sums in memory and in a file; a failure of any member is everybody's, at once. */
#include "base/path.h"
#include "tests/mpi/check.h"
#include "tests/predict/small_model.h"
#include "train/spread.h"

enum { BYTES = TST_HEADS * TST_VOXELS * sizeof(float) };

typedef struct {
    sf_comm *world;
    sf_spread *spread;
    int rank, size;
} fixture;

static sf_predict_options options(int probabilities, int batch, bool file)
{
    return (sf_predict_options){ .step = 0.3,
                                 .mirror = true,
                                 .gaussian = true,
                                 .average_probabilities = probabilities,
                                 .threads = 1,
                                 .windows_per_batch = batch,
                                 .memory = file,
                                 .scratch_dir = file ? "." : NULL };
}

static void compare(const fixture *f, int dim, int folds)
{
    static tst_small s;
    static float alone[BYTES / sizeof(float)], shared[BYTES / sizeof(float)];
    tst_small_make(&s, folds, dim);
    for (int k = 0; k < 8; k++) {
        const sf_predict_options o = options(k & 1, k & 2 ? 3 : 1, (k & 4) != 0);
        sf_predictor *p;
        CHECK_OK(sf_predictor_create(&p, &s.m, &o));
        CHECK_OK(sf_predictor_case(p, &s.c, alone, NULL));
        memset(shared, 0, sizeof shared);
        sf_predictor_team(p, sf_spread_team(f->spread));
        CHECK_OK(sf_predictor_case(p, &s.c, shared, NULL));
        CHECK(f->rank > 0 || memcmp(alone, shared, BYTES) == 0);
        sf_predictor_destroy(&p);
    }
    tst_small_free(&s);
}

static void compare_network(const fixture *f)
{
    static tst_small s;
    static float alone[BYTES / sizeof(float)], shared[BYTES / sizeof(float)];
    tst_small_make(&s, 1, 3);
    sf_network *net = tst_small_network(&s, 2, 1);
    sf_predict_options o = options(1, 0, false);
    CHECK_OK(sf_predict_network(net, &s.cfg, &o, s.m.mirror_axis, TST_HEADS, s.data, TST_CHANNELS,
                                s.c.props.shape, false, alone));
    o.team = sf_spread_team(f->spread);
    CHECK_OK(sf_predict_network(net, &s.cfg, &o, s.m.mirror_axis, TST_HEADS, s.data, TST_CHANNELS,
                                s.c.props.shape, false, f->rank ? NULL : shared));
    CHECK(f->rank > 0 || memcmp(alone, shared, BYTES) == 0);
    sf_network_destroy(&net);
    tst_small_free(&s);
}

static sf_status refuse(void *user, int64_t lo, int64_t hi, const float *values)
{
    (void)user, (void)lo, (void)hi, (void)values;
    return SF_FAIL(SF_EIO, "no more room");
}

/* The sink of member 0 is full; then the second fold of the last member does not fit. */
static void fail_together(const fixture *f)
{
    static tst_small s, other;
    tst_small_make(&s, 2, 3);
    tst_small_make(&other, 2, 2);
    const sf_predict_options o = options(0, 1, false);
    sf_predictor *p;
    CHECK_OK(sf_predictor_create(&p, &s.m, &o));
    sf_predictor_team(p, sf_spread_team(f->spread));
    CHECK(sf_predictor_rows(p, &s.c, (sf_row_sink){ .take = refuse }, NULL) == SF_EIO);
    CHECK(strstr(sf_error_text(), "no more room"));
    sf_weights *good = s.weights[1];
    if (f->rank == f->size - 1) s.weights[1] = other.weights[1];
    static float out[BYTES / sizeof(float)];
    CHECK(sf_predictor_case(p, &s.c, out, NULL) == SF_EDATA);
    s.weights[1] = good;
    CHECK_OK(sf_predictor_case(p, &s.c, out, NULL)); /* nothing of it is left */
    sf_predictor_destroy(&p);
    tst_small_free(&s);
    tst_small_free(&other);
}

/* Every case once, by all ranks together; groups of like size. */
static void check_plan(void)
{
    for (int size = 1; size <= 9; size++)
        for (int n = 0; n <= 20; n++) {
            int members[20] = { 0 };
            sf_spread_plan p = { 0 };
            for (int rank = 0; rank < size; rank++) {
                p = sf_spread_make(n, rank, size);
                CHECK(p.whole % size == 0 && p.whole + p.shared == n && p.shared < size);
                CHECK((p.group >= 0) == (p.shared > 0) && p.group < p.shared);
                if (p.group >= 0) members[p.group]++;
            }
            for (int g = 0; g < p.shared; g++)
                CHECK(members[g] == p.ranks || members[g] == p.ranks + 1);
        }
}

int main(int argc, char **argv)
{
    CHECK_OK(sf_mpi_start(&argc, &argv));
    fixture f = { .world = sf_comm_world() };
    f.rank = sf_comm_rank(f.world);
    f.size = sf_comm_size(f.world);
    CHECK_OK(sf_spread_create(&f.spread, f.world));
    CHECK((sf_spread_team(f.spread) != NULL) == (f.size > 1) && sf_spread_team(NULL) == NULL);
    for (int dim = 2; dim <= 3; dim++)
        for (int folds = 1; folds <= 2; folds++) compare(&f, dim, folds);
    compare_network(&f);
    fail_together(&f);
    check_plan();
    sf_spread_destroy(&f.spread);
    CHECK_OK(sf_comm_barrier(f.world));
    sf_mpi_stop();
    CHECK(sf_mem_live(SF_MEM_CATEGORIES) == 0);
    return 0;
}
