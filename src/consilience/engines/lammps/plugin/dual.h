// Dual numbers: a value and its derivative, so that a formula written once also gives its slope.
// SPDX-License-Identifier: MIT
#ifndef CONSIL_DUAL_H
#define CONSIL_DUAL_H

#include <cmath>

namespace consil {

struct Dual {
  double value, slope;
  Dual(double v) : value(v), slope(0.0) {}
  Dual(double v, double s) : value(v), slope(s) {}
};

inline Dual operator+(const Dual &a, const Dual &b) { return {a.value + b.value, a.slope + b.slope}; }
inline Dual operator-(const Dual &a, const Dual &b) { return {a.value - b.value, a.slope - b.slope}; }
inline Dual operator*(const Dual &a, const Dual &b) { return {a.value * b.value, a.slope * b.value + a.value * b.slope}; }
inline Dual operator/(const Dual &a, const Dual &b)
{
  const double q = a.value / b.value;
  return {q, (a.slope - q * b.slope) / b.value};
}
inline Dual exp(const Dual &a)
{
  const double e = std::exp(a.value);
  return {e, e * a.slope};
}
inline Dual cos(const Dual &a) { return {std::cos(a.value), -std::sin(a.value) * a.slope}; }
inline Dual sin(const Dual &a) { return {std::sin(a.value), std::cos(a.value) * a.slope}; }
inline Dual sqrt(const Dual &a)
{
  const double s = std::sqrt(a.value);
  return {s, 0.5 * a.slope / s};
}
using std::cos;
using std::exp;
using std::sin;
using std::sqrt;

template <int N> inline double power(double a)
{
  if constexpr (N == 1) return a;
  else {
    const double half = power<N / 2>(a);
    return N % 2 ? half * half * a : half * half;
  }
}
template <int N> inline Dual power(const Dual &a)
{
  if constexpr (N == 1) return a;
  else {
    const double less = power<N - 1>(a.value);
    return {less * a.value, N * less * a.slope};
  }
}

inline double positive(double a) { return a > 0.0 ? a : 0.0; }
inline Dual positive(const Dual &a) { return a.value > 0.0 ? a : Dual(0.0); }

// cos(N theta) from c = cos theta
template <int N, class T> inline T multiple(const T &c)
{
  if constexpr (N == 0) return T(1.0);
  else if constexpr (N == 1) return c;
  else return 2.0 * c * multiple<N - 1>(c) - multiple<N - 2>(c);
}

}    // namespace consil
#endif
