/* The graph: parameters, memory, receptive field, bits, partial batches, refusals. */
#include "base/mem.h"
#include "network/graph.h"
#include "tests/network/common.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- architectures of nnunet-training.md 1.5 -------------------------------------------------- */

typedef struct {
    const char *name;
    int dim, stages;
    int64_t in, heads, patch[3], cap;
    int thin_stages;      /* stages with kernel (1,3,3) */
    const char *stride_z; /* per stage */
    int64_t plain, resenc;
    double gmac;
} plan_row;

static const plan_row rows[] = {
    { "A", 3, 6, 4, 4, { 128, 128, 128 }, 320, 0, "122222", 31199796, 102353972, 482.890 },
    { "B", 3, 7, 2, 3, { 20, 320, 256 }, 320, 2, "1112211", 44578770, 140403602, 473.977 },
    { "C", 2, 8, 1, 3, { 1, 512, 512 }, 512, 8, "11111111", 46326581, 140019061, 59.625 },
    { "D", 3, 4, 1, 3, { 40, 56, 40 }, 320, 0, "1222", 5603177, 0, 19.144 },
};

static sf_arch arch_of(const plan_row *r, sf_net_class net)
{
    static const int blocks[8] = { 1, 3, 4, 6, 6, 6, 6, 6 };
    sf_arch a = { .net = net,
                  .dim = r->dim,
                  .n_stages = r->stages,
                  .conv_bias = true,
                  .eps = 1e-5,
                  .slope = 0.01 };
    for (int s = 0; s < r->stages; s++) {
        a.features[s] = (int64_t)32 << s < r->cap ? (int64_t)32 << s : r->cap;
        a.blocks[s] = net == SF_NET_RESENC ? blocks[s] : 2;
        a.decoder_convs[s] = net == SF_NET_RESENC ? 1 : 2;
        for (int d = 0; d < 3; d++) {
            a.kernel[s][d] = d == 0 && s < r->thin_stages ? 1 : 3;
            a.stride[s][d] = d == 0 ? r->stride_z[s] - '0' : s > 0 ? 2 : 1;
        }
    }
    return a;
}

static sf_network_options options_of(const plan_row *r, const sf_arch *a, bool training)
{
    return (sf_network_options){ .arch = a,
                                 .in_channels = r->in,
                                 .heads = r->heads,
                                 .batch = 1,
                                 .patch = { r->patch[0], r->patch[1], r->patch[2] },
                                 .dtype = SF_F32,
                                 .training = training,
                                 .deep_supervision = true,
                                 .threads = 1 };
}

static void parameter_counts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int net = 0; net < 2; net++) {
            const int64_t want = net ? rows[i].resenc : rows[i].plain;
            if (!want) continue;
            const sf_arch a = arch_of(&rows[i], net ? SF_NET_RESENC : SF_NET_PLAIN);
            const sf_network_options o = options_of(&rows[i], &a, false);
            sf_network *n = NULL;
            tst_ok(sf_network_create(&n, &o));
            assert_int_equal(sf_network_params(n)->total, want);
            sf_network_destroy(&n);
        }
}

/** With heads of all levels; batch 1. */
static void operations(void **state)
{
    (void)state;
    const plan_row *r = &rows[3];
    const sf_arch a = arch_of(r, SF_NET_PLAIN);
    const sf_network_options o = options_of(r, &a, true);
    sf_network *n = NULL;
    tst_ok(sf_network_create(&n, &o));
    assert_true(fabs(sf_network_forward_macs(n) * 1e-9 - r->gmac) < 5e-4);
    sf_network_destroy(&n);
}

/** Where pooling went on until the map was small, one output voxel sees the whole patch. */
static void receptive_field(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const sf_arch a = arch_of(&rows[i], SF_NET_PLAIN);
        const sf_network_options o = options_of(&rows[i], &a, false);
        sf_network *n = NULL;
        int64_t field[3];
        tst_ok(sf_network_create(&n, &o));
        sf_network_receptive_field(n, field);
        for (int d = 0; d < 3; d++) assert_true(field[d] >= rows[i].patch[d]);
        sf_network_destroy(&n);
    }
    /* by hand: two stages, one axis. Bottleneck voxel b reads 2b-1..2b+1 of the first stage's map,
       and so on outwards: see the intervals below */
    sf_arch a = tst_small_arch(SF_NET_PLAIN);
    a.n_stages = 2;
    a.kernel[0][0] = 3;
    const sf_network_options o = { .arch = &a,
                                   .in_channels = 1,
                                   .heads = 2,
                                   .batch = 1,
                                   .patch = { 16, 16, 16 },
                                   .dtype = SF_F32,
                                   .threads = 1 };
    sf_network *n = NULL;
    int64_t field[3];
    tst_ok(sf_network_create(&n, &o));
    sf_network_receptive_field(n, field);
    /* output x -> decoder x-2..x+2 -> up: floor(-2/2)..floor(2/2) = -1..1 -> second unit -2..2
       -> strided unit -5..5 -> encoder units -7..7: 15. Odd x = 1: -1..3 -> -1..1: the same */
    for (int d = 0; d < 3; d++) assert_int_equal(field[d], 15);
    sf_network_destroy(&n);
}

/* --- running a small network ------------------------------------------------------------------ */

enum { EDGE = 16, VOXELS = EDGE * EDGE * EDGE, BATCH = 3 };

static sf_network *make(sf_net_class net, bool training, int threads)
{
    sf_arch a = tst_small_arch(net);
    const sf_network_options o = { .arch = &a,
                                   .in_channels = 1,
                                   .heads = 3,
                                   .batch = BATCH,
                                   .patch = { EDGE, EDGE, EDGE },
                                   .dtype = SF_F32,
                                   .training = training,
                                   .deep_supervision = true,
                                   .threads = threads };
    sf_network *n = NULL;
    tst_ok(sf_network_create(&n, &o));
    sf_params_init(sf_network_params(n), 1, "test", 0.01);
    return n;
}

static void fill(float *x, int16_t *labels)
{
    for (int i = 0; i < BATCH * VOXELS; i++) {
        x[i] = sinf(0.37f * (float)i);
        labels[i] = (int16_t)(i / 7 % 3);
    }
}

/** `steps` training steps with `used` samples; the hash of the weights. */
static void train(sf_network *n, const float *x, const int16_t *labels, int64_t used, int steps,
                  char hex[65])
{
    tst_labels l;
    tst_labels_make(&l, 3);
    const sf_loss_options o = tst_loss_options(&l.labels, true, used);
    const sf_optim optim = tst_optim();
    for (int i = 0; i < steps; i++) {
        sf_loss_report r;
        tst_ok(sf_network_forward(n, x, used));
        tst_ok(sf_loss_evaluate(n, labels, &o, true, &r));
        tst_ok(sf_network_backward(n));
        sf_optim_step(&optim, 0.01, sf_network_params(n), 1 + i % 3, NULL);
    }
    tst_ok(sf_params_hash(sf_network_params(n), hex));
    tst_labels_free(&l);
}

static void same_bits(void **state)
{
    (void)state;
    float *x = malloc(BATCH * VOXELS * sizeof *x);
    int16_t *labels = malloc(BATCH * VOXELS * sizeof *labels);
    fill(x, labels);
    for (int net = 0; net < 2; net++) {
        char want[65], got[65];
        for (int threads = 1; threads <= 3; threads++) {
            sf_network *n = make(net ? SF_NET_RESENC : SF_NET_PLAIN, true, threads);
            train(n, x, labels, BATCH, 2, threads == 1 ? want : got);
            if (threads > 1) assert_string_equal(got, want);
            sf_network_destroy(&n);
        }
    }
    free(x);
    free(labels);
}

/* --- hand-edited plans ------------------------------------------------------------------------ */

static void more_features(sf_arch *a) { a->features[1] = 12; }
static void flat_kernel(sf_arch *a) { a->kernel[1][0] = 1; }
static void less_stride(sf_arch *a) { a->stride[2][0] = 1; }
static void fewer_stages(sf_arch *a) { a->n_stages = 3; }
static void one_block_more(sf_arch *a) { a->blocks[1]++; }
static void decoder_conv_more(sf_arch *a) { a->decoder_convs[0]++; }
static void no_bias(sf_arch *a) { a->conv_bias = false; }
static void larger_eps(sf_arch *a) { a->eps = 1e-2; }
static void steeper(sf_arch *a) { a->slope = 0.2; }
static void as_it_is(sf_arch *a) { (void)a; }

/** Each field of an architecture changes what one training step makes, for both networks. */
static void every_field_acts(void **state)
{
    static void (*const edits[])(
        sf_arch *) = { as_it_is,       more_features,     flat_kernel, less_stride, fewer_stages,
                       one_block_more, decoder_conv_more, no_bias,     larger_eps,  steeper };
    enum { N_EDITS = sizeof edits / sizeof *edits };
    float *x = malloc(BATCH * VOXELS * sizeof *x);
    int16_t *labels = malloc(BATCH * VOXELS * sizeof *labels);
    char hex[2 * N_EDITS][65];
    int n_hex = 0;
    (void)state;
    fill(x, labels);
    for (int net = 0; net < 2; net++)
        for (int i = 0; i < N_EDITS; i++) {
            sf_arch a = tst_small_arch(net ? SF_NET_RESENC : SF_NET_PLAIN);
            edits[i](&a);
            const sf_network_options o = { .arch = &a,
                                           .in_channels = 1,
                                           .heads = 3,
                                           .batch = 1,
                                           .patch = { EDGE, EDGE, EDGE },
                                           .dtype = SF_F32,
                                           .training = true,
                                           .deep_supervision = true,
                                           .threads = 2 };
            sf_network *n = NULL;
            tst_ok(sf_network_create(&n, &o));
            sf_params_init(sf_network_params(n), 1, "test", 0.01);
            train(n, x, labels, 1, 1, hex[n_hex]);
            sf_network_destroy(&n);
            for (int k = 0; k < n_hex; k++) assert_string_not_equal(hex[k], hex[n_hex]);
            n_hex++;
        }
    free(x);
    free(labels);
}

/** One sample in a network built for three gives what a network built for one gives. */
static void partial_batch(void **state)
{
    (void)state;
    float *x = malloc(BATCH * VOXELS * sizeof *x);
    int16_t *labels = malloc(BATCH * VOXELS * sizeof *labels);
    fill(x, labels);
    char part[65], alone[65];
    sf_network *n = make(SF_NET_PLAIN, true, 1);
    train(n, x, labels, 2, 1, part);
    train(n, x, labels, 1, 2, part);
    sf_network_destroy(&n);
    n = make(SF_NET_PLAIN, true, 1);
    train(n, x, labels, 2, 1, alone);
    sf_arch a = tst_small_arch(SF_NET_PLAIN);
    const sf_network_options o = { .arch = &a,
                                   .in_channels = 1,
                                   .heads = 3,
                                   .batch = 1,
                                   .patch = { EDGE, EDGE, EDGE },
                                   .dtype = SF_F32,
                                   .training = true,
                                   .deep_supervision = true,
                                   .threads = 1 };
    sf_network *one = NULL;
    tst_ok(sf_network_create(&one, &o));
    for (int i = 0; i < sf_network_params(n)->count; i++) {
        const sf_param *from = &sf_network_params(n)->item[i];
        sf_param *to = &sf_network_params(one)->item[i];
        memcpy(to->value, from->value, (size_t)from->count * sizeof(float));
        memcpy(to->velocity, from->velocity, (size_t)from->count * sizeof(float));
        to->has_velocity = from->has_velocity;
    }
    train(one, x, labels, 1, 2, alone);
    assert_string_equal(part, alone);
    sf_network_destroy(&n);
    sf_network_destroy(&one);
    free(x);
    free(labels);
}

/** Inference reuses activations: same logits, less memory; what is said is what is allocated. */
static void memory(void **state)
{
    (void)state;
    float *x = malloc(BATCH * VOXELS * sizeof *x),
          *want = malloc(3 * BATCH * VOXELS * sizeof *want);
    int16_t *labels = malloc(BATCH * VOXELS * sizeof *labels);
    fill(x, labels);
    int64_t bytes[2];
    for (int training = 1; training >= 0; training--) {
        const int64_t arena = sf_mem_live(SF_MEM_ARENA), params = sf_mem_live(SF_MEM_PARAMS);
        sf_network *n = make(SF_NET_RESENC, training, 2);
        bytes[training] = sf_network_bytes(n);
        assert_int_equal(sf_mem_live(SF_MEM_ARENA) - arena + sf_mem_live(SF_MEM_PARAMS) - params,
                         bytes[training]);
        const int64_t before = sf_mem_live(SF_MEM_CATEGORIES);
        tst_ok(sf_network_forward(n, x, BATCH));
        const size_t size = 3 * BATCH * VOXELS * sizeof *want;
        if (training)
            memcpy(want, sf_network_logits(n, 0), size);
        else
            assert_memory_equal(want, sf_network_logits(n, 0), size);
        assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), before); /* nothing allocated to run */
        sf_network_destroy(&n);
    }
    assert_true(bytes[0] < bytes[1] / 2);
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
    free(x);
    free(want);
    free(labels);
}

/** Blocks that live at the same time have places of their own, and the arena is hardly larger than
 *  what lives at once. */
static void places(void **state)
{
    (void)state;
    static const sf_net_class classes[] = { SF_NET_PLAIN, SF_NET_RESENC };
    for (int i = 0; i < 4; i++) {
        const sf_arch a = arch_of(&rows[3], classes[i / 2]);
        const sf_network_options o = options_of(&rows[3], &a, i % 2 == 0);
        sf_network *n = NULL;
        tst_ok(sf_network_create(&n, &o));
        int64_t most = 0;
        for (int t = 0; t < 4 * n->n_nodes; t++) {
            int64_t live = 0;
            for (int b = 0; b < n->n_blocks; b++)
                if (n->block[b].birth <= t && t <= n->block[b].death) live += n->block[b].bytes;
            most = live > most ? live : most;
        }
        for (int b = 0; b < n->n_blocks; b++)
            for (int c = 0; c < b; c++) {
                const sf_arena_block *x = &n->block[b], *y = &n->block[c];
                const bool meet = x->birth <= y->death && y->birth <= x->death;
                assert_true(!meet || x->offset + x->bytes <= y->offset ||
                            y->offset + y->bytes <= x->offset);
            }
        assert_true(n->arena_bytes >= most);
        assert_true((double)n->arena_bytes <= (o.training ? 1.02 : 1.2) * (double)most);
        sf_network_destroy(&n);
    }
}

static void count_gradients(void *user, int param, const void *const *part, int parts)
{
    int *seen = user;
    assert_int_equal(parts, 1);
    assert_non_null(part[0]);
    seen[param]++;
}

static void gradients_announced(void **state)
{
    (void)state;
    float *x = malloc(BATCH * VOXELS * sizeof *x);
    int16_t *labels = malloc(BATCH * VOXELS * sizeof *labels);
    char hex[65];
    int seen[256] = { 0 };
    fill(x, labels);
    sf_network *n = make(SF_NET_RESENC, true, 1);
    sf_network_on_grad(n, count_gradients, seen);
    train(n, x, labels, BATCH, 1, hex);
    const sf_params *p = sf_network_params(n);
    for (int i = 0; i < p->count; i++) assert_int_equal(seen[i], p->item[i].has_grad ? 1 : 0);
    sf_network_destroy(&n);
    free(x);
    free(labels);
}

static void initial_weights(void **state)
{
    (void)state;
    const sf_arch a = arch_of(&rows[3], SF_NET_PLAIN);
    const sf_network_options o = options_of(&rows[3], &a, false);
    sf_network *n = NULL;
    char first[65], second[65];
    tst_ok(sf_network_create(&n, &o));
    sf_params *p = sf_network_params(n);
    sf_params_init(p, 1, "3d_fullres/0", 0.01);
    tst_ok(sf_params_hash(p, first));
    const struct {
        const char *name;
        double fan_in;
    } want[] = { { "encoder.stages.3.0.convs.1.conv.weight", 256 * 27 },
                 { "decoder.transpconvs.1.weight", 64 * 8 } }; /* out channels x kernel */
    for (int i = 0; i < 2; i++) {
        const sf_param *q = sf_params_find(p, want[i].name);
        double sum = 0, squares = 0;
        for (int64_t k = 0; k < q->count; k++) {
            const double v = (double)((float *)q->value)[k];
            sum += v;
            squares += v * v;
        }
        const double count = (double)q->count, std = sqrt(2 / 1.0001 / want[i].fan_in);
        assert_true(fabs(sum / count) < 5 * std / sqrt(count));
        assert_true(fabs(sqrt(squares / count) / std - 1) < 5 / sqrt(2 * count));
    }
    sf_params_init(p, 1, "3d_fullres/1", 0.01);
    tst_ok(sf_params_hash(p, second));
    assert_string_not_equal(first, second);
    sf_params_init(p, 1, "3d_fullres/0", 0.01);
    tst_ok(sf_params_hash(p, second));
    assert_string_equal(first, second);
    sf_network_destroy(&n);
}

static void refusals(void **state)
{
    (void)state;
    sf_network *n = NULL;
    sf_arch a = tst_small_arch(SF_NET_PLAIN);
    sf_network_options o = { .arch = &a,
                             .in_channels = 1,
                             .heads = 3,
                             .batch = 1,
                             .patch = { 16, 16, 16 },
                             .dtype = SF_F32,
                             .threads = 1 };
    o.patch[1] = 18;
    assert_int_equal(sf_network_create(&n, &o), SF_EINVAL);
    assert_non_null(strstr(sf_error_text(), "18"));
    o.patch[1] = 16;
    a.n_stages = 1;
    assert_int_equal(sf_network_create(&n, &o), SF_EINVAL);
    a.n_stages = 4;
    a.kernel[2][2] = 5;
    assert_int_equal(sf_network_create(&n, &o), SF_EINVAL);
    a.kernel[2][2] = 3;
    a.net = (sf_net_class)9;
    assert_int_equal(sf_network_create(&n, &o), SF_EUNSUPPORTED);
    a.net = SF_NET_PLAIN;
    o.dtype = (sf_dtype)9;
    assert_int_equal(sf_network_create(&n, &o), SF_EUNSUPPORTED);
    o.dtype = SF_F32;
    tst_ok(sf_network_create(&n, &o));
    float x[1] = { 0 };
    assert_int_equal(sf_network_forward(n, x, 2), SF_EINVAL);
    assert_int_equal(sf_network_backward(n), SF_EINVAL);
    sf_network_destroy(&n);
    assert_null(n);
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameter_counts),
        cmocka_unit_test(operations),
        cmocka_unit_test(receptive_field),
        cmocka_unit_test(same_bits),
        cmocka_unit_test(every_field_acts),
        cmocka_unit_test(partial_batch),
        cmocka_unit_test(memory),
        cmocka_unit_test(places),
        cmocka_unit_test(gradients_announced),
        cmocka_unit_test(initial_weights),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
