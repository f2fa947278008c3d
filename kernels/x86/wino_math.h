/* Winograd's one-dimensional transforms, and how they run along the axes of a tile. Included once
 * per instruction set, after its vec_*.h. Points 0, +-3/4, +-3/2, infinity for 4 outputs (their
 * constants are exact in binary and keep the error within about twice that of a direct
 * convolution), 0, +-1, infinity for 2. Derivation: conv-study section 5.2.
 *
 * The letters: B^T input, A^T output, A its adjoint (output gradient), G weights, G^T its adjoint.
 * A tile of m outputs has t = m + 2 points per axis; m = 1 marks an axis without taps. */
#define FLAT static inline __attribute__((always_inline))
#define C(x) v_set1(x)

#define PA  0.75f
#define PB  1.5f
#define PA2 0.5625f
#define PB2 2.25f

/* All transforms work in place on the first places of v. */
FLAT void in4(V *v)
{
    const V x1 = v[1], x2 = v[2], x3 = v[3], x4 = v[4];
    const V ea = v_fnma(C(PB2), x2, x4), oa = v_fnma(C(PB2), x1, x3);
    const V eb = v_fnma(C(PA2), x2, x4), ob = v_fnma(C(PA2), x1, x3);
    v[0] = v_fma(C(PA2 * PB2), v[0], v_fnma(C(PA2 + PB2), x2, x4));
    v[1] = v_fma(C(PA), oa, ea);
    v[2] = v_fnma(C(PA), oa, ea);
    v[3] = v_fma(C(PB), ob, eb);
    v[4] = v_fnma(C(PB), ob, eb);
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
    const V ea = v_fma(C(PA2), y2, y0), oa = v_fma(C(PA2), y3, y1);
    const V eb = v_fma(C(PB2), y2, y0), ob = v_fma(C(PB2), y3, y1);
    v[1] = v_fma(C(PA), oa, ea);
    v[2] = v_fnma(C(PA), oa, ea);
    v[3] = v_fma(C(PB), ob, eb);
    v[4] = v_fnma(C(PB), ob, eb);
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
#undef NA
#undef NB
#undef PA
#undef PB
#undef PA2
#undef PB2
#undef C

typedef enum { IN, OUT, ADJ, WGT, TAP } wino_op;
/* Places read and written along an axis. */
FLAT int op_reads(const wino_op op, const int m)
{
    return m == 1 ? 1 : op == IN || op == OUT || op == TAP ? m + 2 : op == ADJ ? m : 3;
}
FLAT int op_writes(const wino_op op, const int m)
{
    return m == 1 ? 1 : op == IN || op == ADJ || op == WGT ? m + 2 : op == OUT ? m : 3;
}

/* op and m are constants after inlining, here and below. */
FLAT void op_apply(const wino_op op, const int m, V *v)
{
    if (m == 4 && op == IN) in4(v);
    if (m == 4 && op == OUT) out4(v);
    if (m == 4 && op == ADJ) adj4(v);
    if (m == 4 && op == WGT) wgt4(v);
    if (m == 4 && op == TAP) tap4(v);
    if (m == 2 && op == IN) in2(v);
    if (m == 2 && op == OUT) out2(v);
    if (m == 2 && op == ADJ) adj2(v);
    if (m == 2 && op == WGT) wgt2(v);
    if (m == 2 && op == TAP) tap2(v);
}

/* Where the 16-lane elements of a tile lie, in floats: lines (a, b) and the places along a line. */
typedef struct {
    int64_t a, b, step;
} wino_walk;

FLAT void sweep_sized(const wino_op op, const int m, int na, int nb, const float *from, wino_walk f,
                      float *to, wino_walk t)
{
    for (int a = 0; a < na; a++)
        for (int b = 0; b < nb; b++)
#pragma GCC unroll 2
            for (int h = 0; h < 16; h += VLEN) {
                const float *p = from + a * f.a + b * f.b + h;
                float *q = to + a * t.a + b * t.b + h;
                V v[6];
#pragma GCC unroll 6
                for (int i = 0; i < op_reads(op, m); i++) v[i] = v_load(p + i * f.step);
                op_apply(op, m, v);
#pragma GCC unroll 6
                for (int i = 0; i < op_writes(op, m); i++) v_store(q + i * t.step, v[i]);
            }
}

/* One transform along na x nb lines; in place when `to` is `from`. */
#define SWEEP(NAME, op)                                                                            \
    static void NAME(int m, int na, int nb, const float *from, wino_walk f, float *to,             \
                     wino_walk t)                                                                  \
    {                                                                                              \
        if (m == 4)                                                                                \
            sweep_sized(op, 4, na, nb, from, f, to, t);                                            \
        else if (m == 2)                                                                           \
            sweep_sized(op, 2, na, nb, from, f, to, t);                                            \
        else if (from != to)                                                                       \
            sweep_sized(op, 1, na, nb, from, f, to, t);                                            \
    }
SWEEP(sweep_in, IN)
SWEEP(sweep_out, OUT)
SWEEP(sweep_adj, ADJ)
SWEEP(sweep_wgt, WGT)
SWEEP(sweep_tap, TAP)
#undef SWEEP
