/* Winograd's one-dimensional transforms, and how they run along the axes of a tile. Included once
 * per instruction set, after its vec_*.h. Points 0, +-3/4, +-3/2, infinity for 4 outputs (their
 * constants are exact in binary and keep the error within about twice that of a direct
 * convolution), 0, +-1, infinity for 2. Derivation: conv-study section 5.2.
 *
 * Stride 2 is split by parity (conv-study 5.3): the odd samples meet two taps, Winograd's F(2,2),
 * the even ones one tap.
 *
 * The letters: B^T input, A^T output, A its adjoint (output gradient), G weights, G^T its adjoint.
 */
#include "kernels/x86/vec_stored.h"
#define C(x) v_set1(x)

#define PA  0.75f
#define PB  1.5f
#define PA2 0.5625f
#define PB2 2.25f

/* All transforms work in place on the first places of v. */
/* Even and odd parts; additions go to other execution units than multiplications. */
FLAT void in4(V *v)
{
    const V x1 = v[1], x2 = v[2], x3 = v[3], x4 = v[4];
    const V ea = v_fnma(C(PB2), x2, x4), oa = v_fnma(C(PA * PB2), x1, v_mul(C(PA), x3));
    const V eb = v_fnma(C(PA2), x2, x4), ob = v_fnma(C(PB * PA2), x1, v_mul(C(PB), x3));
    v[0] = v_fma(C(PA2 * PB2), v[0], v_fnma(C(PA2 + PB2), x2, x4));
    v[1] = v_add(ea, oa);
    v[2] = v_sub(ea, oa);
    v[3] = v_add(eb, ob);
    v[4] = v_sub(eb, ob);
    v[5] = v_fma(C(PA2 * PB2), x1, v_fnma(C(PA2 + PB2), x3, v[5]));
}

FLAT void in2(V *v)
{
    const V x1 = v[1], x2 = v[2];
    v[0] = v_sub(v[0], x2);
    v[1] = v_add(x1, x2);
    v[2] = v_sub(x2, x1);
    v[3] = v_sub(x1, v[3]);
}

/* 6 points -> 4 outputs */
FLAT void out4(V *v)
{
    const V sa = v_add(v[1], v[2]), da = v_sub(v[1], v[2]);
    const V sb = v_add(v[3], v[4]), db = v_sub(v[3], v[4]);
    v[0] = v_add(v[0], v_add(sa, sb));
    v[1] = v_fma(C(PA), da, v_mul(C(PB), db));
    v[2] = v_fma(C(PA2), sa, v_mul(C(PB2), sb));
    v[3] = v_fma(C(PA * PA2), da, v_fma(C(PB * PB2), db, v[5]));
}

FLAT void out2(V *v)
{
    const V m1 = v[1], m2 = v[2];
    v[0] = v_add(v[0], v_add(m1, m2));
    v[1] = v_sub(v_sub(m1, m2), v[3]);
}

/* 4 output gradients -> 6 points, the adjoint of out4 */
FLAT void adj4(V *v)
{
    const V y0 = v[0], y1 = v[1], y2 = v[2], y3 = v[3];
    const V ea = v_fma(C(PA2), y2, y0), oa = v_fma(C(PA * PA2), y3, v_mul(C(PA), y1));
    const V eb = v_fma(C(PB2), y2, y0), ob = v_fma(C(PB * PB2), y3, v_mul(C(PB), y1));
    v[1] = v_add(ea, oa);
    v[2] = v_sub(ea, oa);
    v[3] = v_add(eb, ob);
    v[4] = v_sub(eb, ob);
    v[5] = y3;
}

FLAT void adj2(V *v)
{
    const V y0 = v[0], y1 = v[1];
    v[1] = v_add(y0, y1);
    v[2] = v_sub(y0, y1);
    v[3] = v_sub(v_zero(), y1);
}

#define NA (2 * PA2 * (PA2 - PB2))
#define NB (2 * PB2 * (PB2 - PA2))

/* 3 taps -> 6 points */
FLAT void wgt4(V *v)
{
    const V g0 = v[0], g1 = v[1], g2 = v[2];
    const V ea = v_mul(C(1.0f / NA), v_fma(C(PA2), g2, g0));
    const V eb = v_mul(C(1.0f / NB), v_fma(C(PB2), g2, g0));
    v[0] = v_mul(C(1.0f / (PA2 * PB2)), g0);
    v[1] = v_fma(C(PA / NA), g1, ea);
    v[2] = v_fnma(C(PA / NA), g1, ea);
    v[3] = v_fma(C(PB / NB), g1, eb);
    v[4] = v_fnma(C(PB / NB), g1, eb);
    v[5] = g2;
}

FLAT void wgt2(V *v)
{
    const V g0 = v[0], g1 = v[1], g2 = v[2];
    const V e = v_mul(C(0.5f), v_add(g0, g2));
    v[1] = v_fma(C(0.5f), g1, e);
    v[2] = v_fnma(C(0.5f), g1, e);
    v[3] = g2;
}

/* 6 points -> 3 taps, the adjoint of wgt4 */
FLAT void tap4(V *v)
{
    const V sa = v_mul(C(1.0f / NA), v_add(v[1], v[2])), da = v_sub(v[1], v[2]);
    const V sb = v_mul(C(1.0f / NB), v_add(v[3], v[4])), db = v_sub(v[3], v[4]);
    v[0] = v_fma(C(1.0f / (PA2 * PB2)), v[0], v_add(sa, sb));
    v[1] = v_fma(C(PA / NA), da, v_mul(C(PB / NB), db));
    v[2] = v_fma(C(PA2), sa, v_fma(C(PB2), sb, v[5]));
}

FLAT void tap2(V *v)
{
    const V e = v_mul(C(0.5f), v_add(v[1], v[2])), o = v_sub(v[1], v[2]);
    v[0] = v_add(v[0], e);
    v[1] = v_mul(C(0.5f), o);
    v[2] = v_add(e, v[3]);
}
/* Stride 2, forward: 5 samples from 2j-1 -> 5 points -> outputs j, j+1. */
FLAT void in_s(V *v)
{
    const V x1 = v[1], x2 = v[2], x3 = v[3], x4 = v[4];
    v[0] = v_sub(v[0], x2);
    v[1] = x2;
    v[2] = v_sub(x2, x4);
    v[3] = x1;
    v[4] = x3;
}

FLAT void out_s(V *v)
{
    const V m1 = v[1];
    v[0] = v_add(v_add(v[0], m1), v[3]);
    v[1] = v_add(v_sub(m1, v[2]), v[4]);
}

FLAT void adj_s(V *v)
{
    const V y0 = v[0], y1 = v[1];
    v[1] = v_add(y0, y1);
    v[2] = v_sub(v_zero(), y1);
    v[3] = y0;
    v[4] = y1;
}

FLAT void wgt_s(V *v)
{
    const V g1 = v[1], g2 = v[2];
    v[1] = v_add(v[0], g2);
    v[3] = g1;
    v[4] = g1;
}

FLAT void tap_s(V *v)
{
    const V u1 = v[1];
    v[0] = v_add(v[0], u1);
    v[1] = v_add(v[3], v[4]);
    v[2] = v_add(u1, v[2]);
}

/* Stride 2, gradient of the input: 3 gradients from j -> 5 points -> samples 2j .. 2j+3. The
 * weights are those of the forward pass with the taps reversed. */
FLAT void in_d(V *v)
{
    const V d0 = v[0], d1 = v[1];
    v[0] = v_sub(d0, d1);
    v[2] = v_sub(d1, v[2]);
    v[3] = d0;
    v[4] = d1;
}

FLAT void out_d(V *v)
{
    const V m0 = v[0], m1 = v[1], m2 = v[2];
    v[0] = v[3];
    v[1] = v_add(m0, m1);
    v[2] = v[4];
    v[3] = v_sub(m1, m2);
}
#undef NA
#undef NB
#undef PA
#undef PB
#undef PA2
#undef PB2
#undef C

typedef enum { IN, OUT, ADJ, WGT, TAP } wino_op;

/* What happens along an axis: nothing, 2 or 4 outputs at stride 1, stride 2 forward, its gradient.
 */
typedef enum { K1, K2, K4, KS, KD } wino_kind;
FLAT int kind_outputs(const wino_kind k) { return k == K1 ? 1 : k == K2 || k == KS ? 2 : 4; }
FLAT int kind_points(const wino_kind k) { return k == K1 ? 1 : k == K2 ? 4 : k == K4 ? 6 : 5; }
FLAT int kind_window(const wino_kind k) { return k == KD ? 3 : kind_points(k); }
/* Input samples from tile to tile. */
FLAT int kind_step(const wino_kind k) { return k == KS ? 4 : k == KD ? 2 : kind_outputs(k); }
/* First sample of the window under output o. */
FLAT int64_t kind_first(const wino_kind k, int64_t o)
{
    return k == K1 ? o : k == KS ? 2 * o - 1 : k == KD ? o / 2 : o - 1;
}

/* Places read and written along an axis. */
FLAT int op_reads(const wino_op op, const wino_kind k)
{
    if (op == IN) return kind_window(k);
    if (op == ADJ) return kind_outputs(k);
    if (op == WGT) return k == K1 ? 1 : 3;
    return kind_points(k);
}
FLAT int op_writes(const wino_op op, const wino_kind k)
{
    if (op == OUT) return kind_outputs(k);
    if (op == TAP) return k == K1 ? 1 : 3;
    if (op == ADJ && k == KD)
        return 0; /* there is none: only forward kinds have weight gradients */
    return kind_points(k);
}

/* op and k are constants after inlining, here and below. */
FLAT void op_apply(const wino_op op, const wino_kind k, V *v)
{
    if (k == K4 && op == IN) in4(v);
    if (k == K4 && op == OUT) out4(v);
    if (k == K4 && op == ADJ) adj4(v);
    if (k == K4 && op == WGT) wgt4(v);
    if (k == K4 && op == TAP) tap4(v);
    if (k == K2 && op == IN) in2(v);
    if (k == K2 && op == OUT) out2(v);
    if (k == K2 && op == ADJ) adj2(v);
    if (k == K2 && op == WGT) wgt2(v);
    if (k == K2 && op == TAP) tap2(v);
    if (k == KS && op == IN) in_s(v);
    if (k == KS && op == OUT) out_s(v);
    if (k == KS && op == ADJ) adj_s(v);
    if (k == KD && op == IN) in_d(v);
    if (k == KD && op == OUT) out_d(v);
    if ((k == KS || k == KD) && op == WGT) wgt_s(v);
    if ((k == KS || k == KD) && op == TAP) tap_s(v);
}

/* Where the 16-lane elements of a tile lie, in floats: lines (a, b) and the places along a line. */
typedef struct {
    int64_t a, b, step;
} wino_walk;

FLAT void sweep_sized(const wino_op op, const wino_kind k, int na, int nb, const float *from,
                      wino_walk f, float *to, wino_walk t)
{
    for (int a = 0; a < na; a++)
        for (int b = 0; b < nb; b++)
#pragma GCC unroll 2
            for (int h = 0; h < 16; h += VLEN) {
                const float *p = from + a * f.a + b * f.b + h;
                float *q = to + a * t.a + b * t.b + h;
                V v[6];
#pragma GCC unroll 6
                for (int i = 0; i < op_reads(op, k); i++) v[i] = v_load(p + i * f.step);
                op_apply(op, k, v);
#pragma GCC unroll 6
                for (int i = 0; i < op_writes(op, k); i++) v_store(q + i * t.step, v[i]);
            }
}

/* One transform along na x nb lines; in place when `to` is `from`. */
#define SWEEP(NAME, op)                                                                            \
    static void NAME(wino_kind k, int na, int nb, const float *from, wino_walk f, float *to,       \
                     wino_walk t)                                                                  \
    {                                                                                              \
        if (k == K4)                                                                               \
            sweep_sized(op, K4, na, nb, from, f, to, t);                                           \
        else if (k == K2)                                                                          \
            sweep_sized(op, K2, na, nb, from, f, to, t);                                           \
        else if (k == KS)                                                                          \
            sweep_sized(op, KS, na, nb, from, f, to, t);                                           \
        else if (k == KD)                                                                          \
            sweep_sized(op, KD, na, nb, from, f, to, t);                                           \
        else if (from != to)                                                                       \
            sweep_sized(op, K1, na, nb, from, f, to, t);                                           \
    }
SWEEP(sweep_in, IN)
SWEEP(sweep_out, OUT)
SWEEP(sweep_adj, ADJ)
SWEEP(sweep_wgt, WGT)
SWEEP(sweep_tap, TAP)
#undef SWEEP
