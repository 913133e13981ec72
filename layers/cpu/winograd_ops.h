/* Winograd's F(4x4, 3x3): sixteen outputs of a 3x3 convolution from a 6x6 tile with 36 multiplications, not 144.
 *
 *   y = A^T [ u * t ] A,   u = G g G^T,   t = B^T d B
 *
 * Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016.
 * The points are 0, +-2/3, +-3/2 and infinity: 2/3 * 3/2 = 1 saves multiplications, and rounding errors are 2.5 times
 * smaller than with the usual +-1, +-2, twice those of adding up nine products (measured over 64 channels). With p, q
 * for the two points, S = p^2 + q^2:
 *
 *   B^T d      d0 - S d2 + d4;   (d4 - q^2 d2) +- p (d3 - q^2 d1);   (d4 - p^2 d2) +- q (d3 - p^2 d1);   d1 - S d3 + d5
 *   A^T m      row i: m0 [i=0] + p^i (m1 +- m2) + q^i (m3 +- m4) + m5 [i=3],   + for even i, - for odd
 *   G g        row of point t: (g0 + t g1 + t^2 g2) / product over the other finite points u of (t - u);   infinity: g2
 *
 * All are along one axis; a tile goes through its columns, then its rows. The weight gradient is the same bilinear form
 * read the other way: dg = G^T [ (A dy A^T) * (B^T d B) ] G, summed over tiles.
 *
 * Stride 2 along one axis, where s is the padded input, is two filters, each of stride 1:
 *
 *   y[i] = (g0 s[2i] + g2 s[2i+2]) + g1 s[2i+1]
 *
 * On the even samples there are two taps, or three the first of which is 0: then the product at point 0 vanishes and
 * five are left. On the odd ones there is one tap, and nothing is saved: four products with g1, which takes the place
 * of point 0. So an axis has nine products of six weights for twelve multiplications, a tile 81 for 144. The data
 * gradient is alike, with even outputs s[2i+2] of two taps and odd ones s[2i+1] of one. */
#ifndef DISTILL_WINOGRAD_OPS_H
#define DISTILL_WINOGRAD_OPS_H
#include "vec.h"

enum { WINO_OUT = 4, WINO_IN = 6, WINO_POINTS = WINO_IN * WINO_IN };
enum { WINO2_IN = 2 * WINO_OUT + 1, WINO2_PRODUCTS = 2 * WINO_OUT + 1, WINO_MOST = WINO2_PRODUCTS };

#define WINO_P (2.f / 3)
#define WINO_Q 1.5f
#define WINO_P2 (WINO_P * WINO_P)
#define WINO_Q2 (WINO_Q * WINO_Q)
#define WINO_S (WINO_P2 + WINO_Q2)

ACT_INLINE void wino_input(const vec d[6], vec t[6])
{
    vec e = d[4] - WINO_Q2 * d[2], o = WINO_P * (d[3] - WINO_Q2 * d[1]);
    vec f = d[4] - WINO_P2 * d[2], r = WINO_Q * (d[3] - WINO_P2 * d[1]);
    t[0] = d[0] + (d[4] - WINO_S * d[2]);
    t[1] = e + o;
    t[2] = e - o;
    t[3] = f + r;
    t[4] = f - r;
    t[5] = d[1] + (d[5] - WINO_S * d[3]);
}

ACT_INLINE void wino_output(const vec m[6], vec y[4])
{
    vec s = m[1] + m[2], u = m[1] - m[2], p = m[3] + m[4], q = m[3] - m[4];
    y[0] = m[0] + s + p;
    y[1] = WINO_P * u + WINO_Q * q;
    y[2] = WINO_P2 * s + WINO_Q2 * p;
    y[3] = (WINO_P * WINO_P2) * u + (WINO_Q * WINO_Q2) * q + m[5];
}

/* A y, the output transform turned around. */
ACT_INLINE void wino_delta(const vec y[4], vec m[6])
{
    vec e = y[0] + WINO_P2 * y[2], o = WINO_P * y[1] + (WINO_P * WINO_P2) * y[3];
    vec f = y[0] + WINO_Q2 * y[2], r = WINO_Q * y[1] + (WINO_Q * WINO_Q2) * y[3];
    m[0] = y[0];
    m[1] = e + o;
    m[2] = e - o;
    m[3] = f + r;
    m[4] = f - r;
    m[5] = y[3];
}

/* Factors of G's rows: point t has row (1, t, t^2) * factor. */
#define WINO_G0 (1 / (WINO_P2 * WINO_Q2))
#define WINO_GP (1 / (2 * WINO_P2 * (WINO_P2 - WINO_Q2)))
#define WINO_GQ (1 / (2 * WINO_Q2 * (WINO_Q2 - WINO_P2)))

/* G g */
ACT_INLINE void wino_weights(const vec g[3], vec u[6])
{
    vec e = WINO_GP * g[0] + (WINO_GP * WINO_P2) * g[2], o = (WINO_GP * WINO_P) * g[1];
    vec f = WINO_GQ * g[0] + (WINO_GQ * WINO_Q2) * g[2], r = (WINO_GQ * WINO_Q) * g[1];
    u[0] = WINO_G0 * g[0];
    u[1] = e + o;
    u[2] = e - o;
    u[3] = f + r;
    u[4] = f - r;
    u[5] = g[2];
}

/* G^T u */
ACT_INLINE void wino_weights_delta(const vec u[6], vec g[3])
{
    vec s = u[1] + u[2], d = u[1] - u[2], p = u[3] + u[4], q = u[3] - u[4];
    g[0] = WINO_G0 * u[0] + WINO_GP * s + WINO_GQ * p;
    g[1] = (WINO_GP * WINO_P) * d + (WINO_GQ * WINO_Q) * q;
    g[2] = (WINO_GP * WINO_P2) * s + (WINO_GQ * WINO_Q2) * p + u[5];
}

/* ---- stride 2: products 0 to 3 are those of the one tap, 4 to 8 those of the two ---- */

/* Of five samples for the two taps, behind which the products 4 to 8 stand. */
ACT_INLINE void wino2_two_taps(const vec even[5], vec t[9])
{
    vec d[6] = { vec_all(0), even[0], even[1], even[2], even[3], even[4] }, u[6];
    wino_input(d, u);
    for (int i = 0; i < 5; ++i) t[4 + i] = u[1 + i];
}

ACT_INLINE void wino2_input(const vec s[9], vec t[9])
{
    vec even[5] = { s[0], s[2], s[4], s[6], s[8] };
    for (int i = 0; i < 4; ++i) t[i] = s[2 * i + 1];
    wino2_two_taps(even, t);
}

ACT_INLINE void wino2_output(const vec m[9], vec y[4])
{
    vec two[6] = { vec_all(0), m[4], m[5], m[6], m[7], m[8] };
    wino_output(two, y);
    for (int i = 0; i < 4; ++i) y[i] += m[i];
}

ACT_INLINE void wino2_delta(const vec y[4], vec m[9])
{
    vec two[6];
    wino_delta(y, two);
    for (int i = 0; i < 4; ++i) m[i] = y[i];
    for (int i = 0; i < 5; ++i) m[4 + i] = two[1 + i];
}

/* The data gradient: dy[0..4] to eight samples' gradients, with filters turned around. */
ACT_INLINE void wino2_back_input(const vec dy[5], vec t[9])
{
    for (int i = 0; i < 4; ++i) t[i] = dy[i];
    wino2_two_taps(dy, t);
}

ACT_INLINE void wino2_back_output(const vec m[9], vec ds[8])
{
    vec two[6] = { vec_all(0), m[4], m[5], m[6], m[7], m[8] }, even[4];
    wino_output(two, even);
    for (int i = 0; i < 4; ++i) {
        ds[2 * i] = m[i];
        ds[2 * i + 1] = even[i];
    }
}

ACT_INLINE void wino2_weights(const vec g[3], vec u[6])
{
    vec two[3] = { vec_all(0), g[0], g[2] };
    wino_weights(two, u);
    u[0] = g[1];
}

ACT_INLINE void wino2_weights_delta(const vec u[6], vec g[3])
{
    vec two[6] = { vec_all(0), u[1], u[2], u[3], u[4], u[5] }, h[3];
    wino_weights_delta(two, h);
    g[0] = h[1];
    g[1] = u[0];
    g[2] = h[2];
}

#endif
