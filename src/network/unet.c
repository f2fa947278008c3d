#include "network/unet.h"
#include "network/layers.h"
#include <inttypes.h>
#include <stdio.h>

static const int one[3] = { 1, 1, 1 };

static bool strided(const int stride[3]) { return stride[0] * stride[1] * stride[2] != 1; }

/* --- checks --------------------------------------------------------------------------------- */

static sf_status check_stage(const sf_arch *a, int s)
{
    SF_CHECK(a->features[s] > 0 && a->blocks[s] > 0, SF_EINVAL,
             "architecture: stage %d has %" PRId64 " features and %d blocks", s, a->features[s],
             a->blocks[s]);
    for (int d = 0; d < 3; d++) {
        SF_CHECK(a->kernel[s][d] == 1 || a->kernel[s][d] == 3, SF_EINVAL,
                 "architecture: kernel size %d in stage %d; 1 and 3 are possible", a->kernel[s][d],
                 s);
        SF_CHECK(
            a->stride[s][d] == 1 || (a->stride[s][d] == 2 && s > 0), SF_EINVAL,
            "architecture: stride %d in stage %d; 1 and (after the first stage) 2 are possible",
            a->stride[s][d], s);
    }
    SF_CHECK(s == a->n_stages - 1 || a->decoder_convs[s] > 0, SF_EINVAL,
             "architecture: decoder step %d has no convolution", s);
    return SF_OK;
}

static sf_status check_patch(const sf_network *net)
{
    const sf_arch *a = &net->arch;
    for (int d = 0; d < 3; d++) {
        int64_t divisor = 1;
        for (int s = 0; s < a->n_stages; s++) divisor *= a->stride[s][d];
        SF_CHECK(net->patch[d] > 0 && net->patch[d] % divisor == 0, SF_EINVAL,
                 "patch size %" PRId64 " of axis %d is not a multiple of %" PRId64
                 ", the product of the strides; change the patch size in the plan",
                 net->patch[d], d, divisor);
    }
    return SF_OK;
}

sf_status sf_unet_check(const sf_network *net)
{
    const sf_arch *a = &net->arch;
    SF_CHECK(a->net == SF_NET_PLAIN || a->net == SF_NET_RESENC, SF_EUNSUPPORTED,
             "architecture: unknown network class %d", (int)a->net);
    SF_CHECK(a->dim == 2 || a->dim == 3, SF_EINVAL, "architecture: %d spatial axes", a->dim);
    SF_CHECK(a->n_stages >= 2 && a->n_stages <= SF_MAX_STAGES, SF_EINVAL,
             "architecture: %d stages; a U-Net needs 2 to %d (plan a larger patch)", a->n_stages,
             SF_MAX_STAGES);
    for (int s = 0; s < a->n_stages; s++) SF_TRY(check_stage(a, s));
    SF_CHECK(net->batch > 0 && net->in_channels > 0 && net->heads > 0, SF_EINVAL,
             "network: batch %" PRId64 ", input channels %" PRId64 ", heads %" PRId64
             " must all be positive",
             net->batch, net->in_channels, net->heads);
    return check_patch(net);
}

/* --- encoder -------------------------------------------------------------------------------- */

/** One stage of the plain encoder: units, the first with the stage's stride. */
static sf_status plain_stage(sf_network *net, int s, int in, int *out)
{
    const sf_arch *a = &net->arch;
    for (int i = 0; i < a->blocks[s]; i++) {
        char prefix[64];
        snprintf(prefix, sizeof prefix, "encoder.stages.%d.0.convs.%d", s, i);
        const sf_unit u = { prefix,
                            SF_GROUP_ENCODER,
                            a->features[s],
                            a->kernel[s],
                            i == 0 ? a->stride[s] : one,
                            a->conv_bias,
                            a->slope };
        SF_TRY(sf_layer_unit(net, &u, &in, 1, out));
        in = *out;
    }
    return SF_OK;
}

/** Skip path of a residual block: identity, average pooling, 1x1 convolution + norm, or both. */
static sf_status residual_skip(sf_network *net, const char *block, int64_t features,
                               const int stride[3], int in, int *out)
{
    const bool pool = strided(stride);
    const bool project = net->value[in].shape.c != features;
    *out = in;
    if (pool) SF_TRY(sf_layer_pool(net, in, stride, out));
    if (!project) return SF_OK;
    char prefix[80];
    snprintf(prefix, sizeof prefix, "%s.skip.%d", block, pool ? 1 : 0);
    const sf_unit u = { prefix, SF_GROUP_ENCODER, features, one, one, false, 1.0 };
    const int from = *out;
    return sf_layer_unit(net, &u, &from, 1, out);
}

static sf_status residual_block(sf_network *net, int s, int b, int in, int *out)
{
    const sf_arch *a = &net->arch;
    const int *stride = b == 0 ? a->stride[s] : one;
    char block[48], prefix[64];
    int first, second, skip;
    snprintf(block, sizeof block, "encoder.stages.%d.blocks.%d", s, b);
    sf_unit u = { prefix, SF_GROUP_ENCODER, a->features[s], a->kernel[s],
                  stride, a->conv_bias,     a->slope };
    snprintf(prefix, sizeof prefix, "%s.conv1", block);
    SF_TRY(sf_layer_unit(net, &u, &in, 1, &first));
    snprintf(prefix, sizeof prefix, "%s.conv2", block);
    u.stride = one;
    u.slope = 1.0;
    SF_TRY(sf_layer_unit(net, &u, &first, 1, &second));
    SF_TRY(residual_skip(net, block, a->features[s], stride, in, &skip));
    return sf_layer_add(net, second, skip, a->slope, out);
}

static sf_status residual_stage(sf_network *net, int s, int in, int *out)
{
    const sf_arch *a = &net->arch;
    if (s == 0) {
        const sf_unit stem = {
            "encoder.stem.convs.0", SF_GROUP_ENCODER, a->features[0], a->kernel[0], one,
            a->conv_bias,           a->slope
        };
        SF_TRY(sf_layer_unit(net, &stem, &in, 1, out));
        in = *out;
    }
    for (int b = 0; b < a->blocks[s]; b++) {
        SF_TRY(residual_block(net, s, b, in, out));
        in = *out;
    }
    return SF_OK;
}

/* --- decoder -------------------------------------------------------------------------------- */

/** Step j: upsample, concatenate (upsampled first, skip second), units, head. */
static sf_status decoder_step(sf_network *net, int j, int skip, int level, int *x)
{
    const sf_arch *a = &net->arch;
    const int to = a->n_stages - 2 - j; /* stage whose resolution is reached */
    char prefix[64];
    int in[2] = { -1, skip };
    snprintf(prefix, sizeof prefix, "decoder.transpconvs.%d", j);
    SF_TRY(sf_layer_up(net, prefix, *x, a->features[to], a->stride[to + 1], a->conv_bias, &in[0]));
    for (int i = 0; i < a->decoder_convs[j]; i++) {
        snprintf(prefix, sizeof prefix, "decoder.stages.%d.convs.%d", j, i);
        const sf_unit u = { prefix, SF_GROUP_DECODER, a->features[to], a->kernel[to],
                            one,    a->conv_bias,     a->slope };
        SF_TRY(sf_layer_unit(net, &u, in, i == 0 ? 2 : 1, x));
        in[0] = *x;
    }
    snprintf(prefix, sizeof prefix, "decoder.seg_layers.%d", j);
    return sf_layer_head(net, prefix, *x, level);
}

sf_status sf_unet_build(sf_network *net)
{
    const sf_arch *a = &net->arch;
    int x, stage[SF_MAX_STAGES];
    SF_TRY(sf_layer_input(net, &x));
    for (int s = 0; s < a->n_stages; s++) {
        SF_TRY(a->net == SF_NET_PLAIN ? plain_stage(net, s, x, &stage[s])
                                      : residual_stage(net, s, x, &stage[s]));
        x = stage[s];
    }
    const int steps = a->n_stages - 1;
    net->n_levels = net->training && net->deep_supervision ? steps : 1;
    for (int j = 0; j < steps; j++) {
        const int level = steps - 1 - j;
        SF_TRY(decoder_step(net, j, stage[level], level < net->n_levels ? level : -1, &x));
    }
    return SF_OK;
}
