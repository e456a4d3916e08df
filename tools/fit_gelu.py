#!/usr/bin/python3
"""Fits the polynomial of gelu() in engine/kernels/simd/activation.h and prints its coefficients.

Phi(-a) = 0.5 / (1 + p(a))^8 with p(0) = 0: where Phi(-a) falls by ten orders of magnitude, its eighth root does so by one, and a
polynomial follows it well. The weights make the error of GELU itself small, relatively so near zero and in the tail; the
least squares are made minimax by Lawson's reweighting.
"""

import math

import numpy as np

POWER, DEGREE, END = 8, 10, 6.0

a = np.linspace(1e-6, END, 8001)
tail = np.array([0.5 * math.erfc(t / math.sqrt(2)) for t in a])
wanted = (2 * tail) ** (-1 / POWER)
basis = np.polynomial.chebyshev.chebvander(2 * a / END - 1, DEGREE - 1) * a[:, None]
gelu_per_change = np.maximum((a + 0.3 * np.exp(-a)) * tail, 2e-5) * POWER / wanted
weights, best = np.ones_like(a), (np.inf, None)
for _ in range(400):
    scale = gelu_per_change * np.sqrt(weights)
    fit, *_ = np.linalg.lstsq(basis * scale[:, None], (wanted - 1) * scale, rcond=None)
    errors = np.abs(basis @ fit - (wanted - 1)) * gelu_per_change
    best = min(best, (errors.max(), fit), key=lambda found: found[0])
    weights *= errors / errors.max() + 1e-3
    weights /= weights.mean()
polynomial = np.polynomial.chebyshev.Chebyshev(best[1], domain=[0, END]).convert(kind=np.polynomial.Polynomial)
print(f"largest error of GELU before rounding: {best[0]:.1e}")
for power, coefficient in enumerate(polynomial.coef, 1):
    print(f"a^{power}: {float(np.float32(coefficient))!r}")
