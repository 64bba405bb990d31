/* SPDX-License-Identifier: Apache-2.0 */
/* Butterflies of the FFT, 16 transforms at once; included by map_kernels_body.h alone. */

/* A complex number in each lane. */
struct lanes {
    float re[LANES];
    float im[LANES];
};

INLINE struct lanes load(const float *at)
{
    struct lanes value;

    memcpy(value.re, at, sizeof(value.re));
    memcpy(value.im, at + LANES, sizeof(value.im));
    return value;
}

INLINE void store(float *at, struct lanes value)
{
    memcpy(at, value.re, sizeof(value.re));
    memcpy(at + LANES, value.im, sizeof(value.im));
}

INLINE struct lanes add(struct lanes a, struct lanes b)
{
    for (int l = 0; l < LANES; l++) {
        a.re[l] += b.re[l];
        a.im[l] += b.im[l];
    }
    return a;
}

INLINE struct lanes subtract(struct lanes a, struct lanes b)
{
    for (int l = 0; l < LANES; l++) {
        a.re[l] -= b.re[l];
        a.im[l] -= b.im[l];
    }
    return a;
}

INLINE struct lanes scale(struct lanes a, float factor)
{
    for (int l = 0; l < LANES; l++) {
        a.re[l] *= factor;
        a.im[l] *= factor;
    }
    return a;
}

/* a times i, or -i */
INLINE struct lanes turn(struct lanes a, float sign)
{
    struct lanes out;

    for (int l = 0; l < LANES; l++) {
        out.re[l] = -sign * a.im[l];
        out.im[l] = sign * a.re[l];
    }
    return out;
}

INLINE struct lanes twist(struct lanes a, float re, float im)
{
    struct lanes out;

    for (int l = 0; l < LANES; l++) {
        out.re[l] = a.re[l] * re - a.im[l] * im;
        out.im[l] = a.re[l] * im + a.im[l] * re;
    }
    return out;
}

INLINE void butterfly(struct lanes *x, uint32_t radix, float sign)
{
    if (radix == 2) {
        const struct lanes a = x[0];

        x[0] = add(a, x[1]);
        x[1] = subtract(a, x[1]);
    } else if (radix == 3) {
        const struct lanes sum = add(x[1], x[2]);
        const struct lanes side = turn(scale(subtract(x[1], x[2]), 0.86602540378f), sign);
        const struct lanes middle = subtract(x[0], scale(sum, 0.5f));

        x[0] = add(x[0], sum);
        x[1] = add(middle, side);
        x[2] = subtract(middle, side);
    } else if (radix == 4) {
        const struct lanes even = add(x[0], x[2]), even_off = subtract(x[0], x[2]);
        const struct lanes odd = add(x[1], x[3]), odd_off = turn(subtract(x[1], x[3]), sign);

        x[0] = add(even, odd);
        x[1] = add(even_off, odd_off);
        x[2] = subtract(even, odd);
        x[3] = subtract(even_off, odd_off);
    } else {
        const struct lanes s1 = add(x[1], x[4]), s2 = add(x[2], x[3]);
        const struct lanes d1 = subtract(x[1], x[4]), d2 = subtract(x[2], x[3]);
        const struct lanes m1 =
            add(x[0], add(scale(s1, 0.30901699437f), scale(s2, -0.80901699437f)));
        const struct lanes m2 =
            add(x[0], add(scale(s1, -0.80901699437f), scale(s2, 0.30901699437f)));
        const struct lanes t1 =
            turn(add(scale(d1, 0.95105651630f), scale(d2, 0.58778525229f)), sign);
        const struct lanes t2 =
            turn(subtract(scale(d1, 0.58778525229f), scale(d2, 0.95105651630f)), sign);

        x[0] = add(x[0], add(s1, s2));
        x[1] = add(m1, t1);
        x[4] = subtract(m1, t1);
        x[2] = add(m2, t2);
        x[3] = subtract(m2, t2);
    }
}

/*
 * One pass of Stockham's self-sorting FFT (Van Loan, Computational Frameworks for the FFT, 1992, section 1.7), decimation in
 * frequency: out[(p radix + q) stride + s] = twiddle^(p q) * butterfly_q(in[(p + groups r) stride + s], r = 0 ...).
 */
INLINE void run_pass(const struct ims_fft_pass *pass, uint32_t radix)
{
    const float sign = pass->inverse ? 1.0f : -1.0f;
    const size_t stride = pass->stride, groups = pass->groups;

    for (size_t p = 0; p < groups; p++) {
        const float *twiddles = pass->twiddles + p * (radix - 1) * 2;

        for (size_t s = 0; s < stride; s++) {
            struct lanes x[5];

            for (uint32_t r = 0; r < radix; r++)
                x[r] = load(pass->in + ((p + groups * r) * stride + s) * 2 * LANES);
            butterfly(x, radix, sign);
            for (uint32_t q = 1; q < radix; q++)
                x[q] = twist(x[q], twiddles[(q - 1) * 2], -sign * twiddles[(q - 1) * 2 + 1]);
            for (uint32_t q = 0; q < radix; q++)
                store(pass->out + ((p * radix + q) * stride + s) * 2 * LANES, x[q]);
        }
    }
}

static void fft_pass(const struct ims_fft_pass *pass)
{
    switch (pass->radix) {
    case 2:
        run_pass(pass, 2);
        break;
    case 3:
        run_pass(pass, 3);
        break;
    case 4:
        run_pass(pass, 4);
        break;
    default:
        run_pass(pass, 5);
        break;
    }
}
