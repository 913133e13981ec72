/* Winograd's F(4x4, 3x3): sixteen outputs of a 3x3 convolution from a 6x6 tile with 36 multiplications, not 144.
 *
 *   y = A^T [ (G g G^T) * (B^T d B) ] A          Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016
 *
 * The points are 0, +-2/3, +-3/2 and infinity: 2/3 * 3/2 = 1 saves multiplications, and rounding errors are 2.5 times
 * smaller than with the usual +-1, +-2, twice those of adding up nine products (measured over 64 channels). With p, q
 * for the two points, S = p^2 + q^2:
 *
 *   B^T d      d0 - S d2 + d4;   (d4 - q^2 d2) +- p (d3 - q^2 d1);   (d4 - p^2 d2) +- q (d3 - p^2 d1);   d1 - S d3 + d5
 *   A^T m      row i: m0 [i=0] + p^i (m1 +- m2) + q^i (m3 +- m4) + m5 [i=3],   + for even i, - for odd
 *   G g        row of point t: (g0 + t g1 + t^2 g2) / product over the other finite points u of (t - u);   infinity: g2
 *
 * All are along one axis; a tile goes through its columns, then its rows. The weight gradient is the same bilinear form
 * read the other way: dg = G^T [ (A dy A^T) * (B^T d B) ] G, summed over tiles. */
#ifndef DISTILL_WINOGRAD_OPS_H
#define DISTILL_WINOGRAD_OPS_H
#include "vec.h"

enum { WINO_OUT = 4, WINO_IN = 6, WINO_POINTS = WINO_IN * WINO_IN };

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

#endif
