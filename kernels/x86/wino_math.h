/* Winograd's one-dimensional transforms on vectors of 16 channels. Included once per instruction
 * set, inside wino_body.h. Points 0, +-3/4, +-3/2, infinity for 4 outputs (their constants are
 * exact in binary and keep the error within about twice that of a direct convolution), 0, +-1,
 * infinity for 2. Derivation: conv-study section 5.2. */
#define PA  0.75f
#define PB  1.5f
#define PA2 0.5625f
#define PB2 2.25f

/* d <- B^T d: 6 samples -> 6 coordinates, `s` vectors apart. */
static inline void in4(v16 *d, int s)
{
    const v16 x0 = d[0], x1 = d[s], x2 = d[2 * s], x3 = d[3 * s], x4 = d[4 * s], x5 = d[5 * s];
    const v16 ea = x4 - PB2 * x2, oa = PA * (x3 - PB2 * x1);
    const v16 eb = x4 - PA2 * x2, ob = PB * (x3 - PA2 * x1);
    d[0] = (PA2 * PB2) * x0 - (PA2 + PB2) * x2 + x4;
    d[s] = ea + oa;
    d[2 * s] = ea - oa;
    d[3 * s] = eb + ob;
    d[4 * s] = eb - ob;
    d[5 * s] = (PA2 * PB2) * x1 - (PA2 + PB2) * x3 + x5;
}

static inline void in2(v16 *d, int s)
{
    const v16 x0 = d[0], x1 = d[s], x2 = d[2 * s], x3 = d[3 * s];
    d[0] = x0 - x2;
    d[s] = x1 + x2;
    d[2 * s] = x2 - x1;
    d[3 * s] = x1 - x3;
}

/* y <- A^T m: 6 coordinates -> 4 outputs, written over the first four places. */
static inline void out4(v16 *m, int s)
{
    const v16 sa = m[s] + m[2 * s], da = m[s] - m[2 * s], sb = m[3 * s] + m[4 * s],
              db = m[3 * s] - m[4 * s];
    m[0] = m[0] + sa + sb;
    m[s] = PA * da + PB * db;
    m[2 * s] = PA2 * sa + PB2 * sb;
    m[3 * s] = (PA * PA2) * da + (PB * PB2) * db + m[5 * s];
}

static inline void out2(v16 *m, int s)
{
    const v16 m1 = m[s], m2 = m[2 * s];
    m[0] = m[0] + m1 + m2;
    m[s] = m1 - m2 - m[3 * s];
}

/* z <- A y, the adjoint of out4: 4 output gradients in the first places -> 6 coordinates. */
static inline void outT4(v16 *y, int s)
{
    const v16 y0 = y[0], y1 = y[s], y2 = y[2 * s], y3 = y[3 * s];
    const v16 ea = y0 + PA2 * y2, oa = PA * (y1 + PA2 * y3), eb = y0 + PB2 * y2,
              ob = PB * (y1 + PB2 * y3);
    y[0] = y0;
    y[s] = ea + oa;
    y[2 * s] = ea - oa;
    y[3 * s] = eb + ob;
    y[4 * s] = eb - ob;
    y[5 * s] = y3;
}

static inline void outT2(v16 *y, int s)
{
    const v16 y0 = y[0], y1 = y[s];
    y[s] = y0 + y1;
    y[2 * s] = y0 - y1;
    y[3 * s] = -y1;
}

#define NA (2 * PA2 * (PA2 - PB2))
#define NB (2 * PB2 * (PB2 - PA2))

/* u <- G g: 3 taps in the first places -> 6 coordinates. */
static inline void wgt4(v16 *g, int s)
{
    const v16 g0 = g[0], g1 = g[s], g2 = g[2 * s];
    const v16 ea = (g0 + PA2 * g2) * (1.0f / NA), oa = g1 * (PA / NA),
              eb = (g0 + PB2 * g2) * (1.0f / NB), ob = g1 * (PB / NB);
    g[0] = g0 * (1.0f / (PA2 * PB2));
    g[s] = ea + oa;
    g[2 * s] = ea - oa;
    g[3 * s] = eb + ob;
    g[4 * s] = eb - ob;
    g[5 * s] = g2;
}

static inline void wgt2(v16 *g, int s)
{
    const v16 g0 = g[0], g1 = g[s], g2 = g[2 * s], e = 0.5f * (g0 + g2), o = 0.5f * g1;
    g[s] = e + o;
    g[2 * s] = e - o;
    g[3 * s] = g2;
    g[0] = g0;
}

/* g <- G^T u: 6 coordinates -> 3 taps in the first places. */
static inline void wgtT4(v16 *u, int s)
{
    const v16 sa = (u[s] + u[2 * s]) * (1.0f / NA), da = (u[s] - u[2 * s]) * (PA / NA);
    const v16 sb = (u[3 * s] + u[4 * s]) * (1.0f / NB), db = (u[3 * s] - u[4 * s]) * (PB / NB);
    u[0] = u[0] * (1.0f / (PA2 * PB2)) + sa + sb;
    u[s] = da + db;
    u[2 * s] = PA2 * sa + PB2 * sb + u[5 * s];
}

static inline void wgtT2(v16 *u, int s)
{
    const v16 u0 = u[0], e = 0.5f * (u[s] + u[2 * s]), o = 0.5f * (u[s] - u[2 * s]);
    u[0] = u0 + e;
    u[s] = o;
    u[2 * s] = e + u[3 * s];
}

/* One transform applied along all three axes of a cube of t0 x t1 x t2 vectors (m outputs per
 * axis); the sizes are compile-time constants in the two common cases, so that everything unrolls.
 * FROM and TO: places that hold data before and after, per axis. */
#define ALONG_AXES(NAME, F4, F2, FROM, TO)                                                         \
    static inline __attribute__((always_inline)) void NAME##_sized(v16 *d, int m0, int m1, int m2) \
    {                                                                                              \
        const int t1 = EDGE(m1), t2 = EDGE(m2), sz = t1 * t2, sy = t2;                             \
        const int z_lines = FROM(m0), y_lines = FROM(m1), x_done = TO(m2), y_done = TO(m1);        \
        for (int z = 0; z < z_lines && m2 > 1; z++) {                                              \
            for (int y = 0; y < y_lines; y++) {                                                    \
                if (m2 == 4)                                                                       \
                    F4(d + z * sz + y * sy, 1);                                                    \
                else                                                                               \
                    F2(d + z * sz + y * sy, 1);                                                    \
            }                                                                                      \
        }                                                                                          \
        for (int z = 0; z < z_lines && m1 > 1; z++) {                                              \
            for (int x = 0; x < x_done; x++) {                                                     \
                if (m1 == 4)                                                                       \
                    F4(d + z * sz + x, sy);                                                        \
                else                                                                               \
                    F2(d + z * sz + x, sy);                                                        \
            }                                                                                      \
        }                                                                                          \
        for (int y = 0; y < y_done && m0 > 1; y++) {                                               \
            for (int x = 0; x < x_done; x++) {                                                     \
                if (m0 == 4)                                                                       \
                    F4(d + y * sy + x, sz);                                                        \
                else                                                                               \
                    F2(d + y * sy + x, sz);                                                        \
            }                                                                                      \
        }                                                                                          \
    }                                                                                              \
    static void NAME(v16 *d, const wino_geo *g)                                                    \
    {                                                                                              \
        if (g->m[0] == 4 && g->m[1] == 4 && g->m[2] == 4)                                          \
            NAME##_sized(d, 4, 4, 4);                                                              \
        else if (g->m[0] == 1 && g->m[1] == 4 && g->m[2] == 4)                                     \
            NAME##_sized(d, 1, 4, 4);                                                              \
        else                                                                                       \
            NAME##_sized(d, g->m[0], g->m[1], g->m[2]);                                            \
    }

#define EDGE(m) ((m) > 1 ? (m) + 2 : 1)
#define FULL(m) EDGE(m)
#define TILE(m) (m)
#define TAPS(m) ((m) > 1 ? 3 : 1)
ALONG_AXES(input_transform, in4, in2, FULL, FULL)
ALONG_AXES(output_transform, out4, out2, FULL, TILE)
ALONG_AXES(output_adjoint, outT4, outT2, TILE, FULL)
ALONG_AXES(weight_transform, wgt4, wgt2, TAPS, FULL)
ALONG_AXES(weight_adjoint, wgtT4, wgtT2, FULL, TAPS)
#undef ALONG_AXES
#undef EDGE
#undef FULL
#undef TILE
#undef TAPS
#undef NA
#undef NB
#undef PA
#undef PB
#undef PA2
#undef PB2
