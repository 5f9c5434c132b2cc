// dihedral_style consil: sums of (sum over k of a_k cos(k phi) + b_k sin(k phi)) sin^P(theta_1) sin^P(theta_2).
//     dihedral_coeff TYPE none | series P K a_0 .. a_K b_1 .. b_K [series ...]
// phi: IUPAC, right-handed positive, 0 for cis; theta: the angles at the two middle beads. Gradients of phi: Blondel and
// Karplus, J. Comput. Chem. 17, 1132 (1996); with P >= 2 forces stay finite where three beads lie on a line.
// SPDX-License-Identifier: MIT
#include "styles.h"

#include "atom.h"
#include "dihedral.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "neighbor.h"

#include <cmath>
#include <cstring>
#include <vector>

using namespace LAMMPS_NS;

namespace {

struct Series {
  int power;
  std::vector<double> cos, sin;
};

double dot(const double *a, const double *b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

void cross(const double *a, const double *b, double *out)
{
  out[0] = a[1] * b[2] - a[2] * b[1];
  out[1] = a[2] * b[0] - a[0] * b[2];
  out[2] = a[0] * b[1] - a[1] * b[0];
}

double raised(double x, int n)
{
  double out = 1.0;
  for (int i = 0; i < n; i++) out *= x;
  return out;
}

class DihedralConsil : public Dihedral {
 public:
  explicit DihedralConsil(LAMMPS *lmp) : Dihedral(lmp) {}
  ~DihedralConsil() override
  {
    if (allocated && !copymode) memory->destroy(setflag);
  }
  void compute(int eflag, int vflag) override
  {
    ev_init(eflag, vflag);
    double **x = atom->x, **f = atom->f;
    const int nlocal = atom->nlocal, newton_bond = force->newton_bond;
    for (int n = 0; n < neighbor->ndihedrallist; n++) {
      const int *row = neighbor->dihedrallist[n];
      if (series[row[4]].empty()) continue;
      double b1[3], b2[3], b3[3], m[3], k[3], f1[3], f2[3], f3[3], f4[3];
      for (int d = 0; d < 3; d++) {
        b1[d] = x[row[1]][d] - x[row[0]][d];
        b2[d] = x[row[2]][d] - x[row[1]][d];
        b3[d] = x[row[3]][d] - x[row[2]][d];
      }
      cross(b1, b2, m);
      cross(b2, b3, k);
      const double l1 = dot(b1, b1), l2 = dot(b2, b2), l3 = dot(b3, b3), length = std::sqrt(l2);
      const double mm = dot(m, m) + TINY, kk = dot(k, k) + TINY, scale = 1.0 / std::sqrt(mm * kk);
      const double c = dot(m, k) * scale, s = length * dot(b1, k) * scale;
      const double r12 = std::sqrt(l1 * l2), r23 = std::sqrt(l2 * l3);
      const double c1 = -dot(b1, b2) / r12, c2 = -dot(b2, b3) / r23;    // cosines of the angles
      double by_phi, by_c1, by_c2;
      const double energy = value(series[row[4]], c, s, c1, c2, by_phi, by_c1, by_c2);
      // of the dihedral: along the normals; of the angles: within their planes
      const double t1 = dot(b1, b2) / l2, t3 = dot(b3, b2) / l2, g1 = by_phi * length / mm, g4 = -by_phi * length / kk;
      for (int d = 0; d < 3; d++) {
        const double p1 = g1 * m[d], p4 = g4 * k[d];
        // gradients of the cosines by the outer beads of each angle
        const double u1 = (b2[d] / r12) + c1 * b1[d] / l1, u3 = -(b1[d] / r12) - c1 * b2[d] / l2;
        const double w2 = (b3[d] / r23) + c2 * b2[d] / l2, w4 = -(b2[d] / r23) - c2 * b3[d] / l3;
        f1[d] = p1 - by_c1 * u1;
        f4[d] = p4 - by_c2 * w4;
        f2[d] = -p1 * (1.0 + t1) + p4 * t3 + by_c1 * (u1 + u3) - by_c2 * w2;
        f3[d] = p1 * t1 - p4 * (1.0 + t3) - by_c1 * u3 + by_c2 * (w2 + w4);
      }
      for (int d = 0; d < 3; d++) {
        if (newton_bond || row[0] < nlocal) f[row[0]][d] += f1[d];
        if (newton_bond || row[1] < nlocal) f[row[1]][d] += f2[d];
        if (newton_bond || row[2] < nlocal) f[row[2]][d] += f3[d];
        if (newton_bond || row[3] < nlocal) f[row[3]][d] += f4[d];
      }
      if (evflag)
        ev_tally(row[0], row[1], row[2], row[3], nlocal, newton_bond, energy, f1, f3, f4, -b1[0], -b1[1], -b1[2],
                 b2[0], b2[1], b2[2], b3[0], b3[1], b3[2]);
    }
  }
  void coeff(int narg, char **arg) override
  {
    if (narg < 2) error->all(FLERR, "dihedral_coeff for style consil: TYPE none, or TYPE series P K numbers ...");
    make();
    int low, high;
    utils::bounds(FLERR, arg[0], 1, atom->ndihedraltypes, low, high, error);
    std::vector<Series> given;
    for (int i = 1; i < narg && std::strcmp(arg[i], "none");) {
      if (std::strcmp(arg[i], "series") || i + 2 >= narg) error->all(FLERR, "dihedral_coeff: expected series P K ...");
      const int power = utils::inumeric(FLERR, arg[i + 1], false, lmp);
      const int count = utils::inumeric(FLERR, arg[i + 2], false, lmp);
      if (power < 0 || count < 0 || i + 3 + 2 * count + 1 > narg)
        error->all(FLERR, "dihedral_coeff: series P K with K + 1 cosines and K sines");
      Series one{power, {}, {0.0}};
      i += 3;
      for (int k = 0; k <= count; k++) one.cos.push_back(utils::numeric(FLERR, arg[i++], false, lmp));
      for (int k = 1; k <= count; k++) one.sin.push_back(utils::numeric(FLERR, arg[i++], false, lmp));
      given.push_back(one);
    }
    for (int t = low; t <= high; t++) {
      series[t] = given;
      setflag[t] = 1;
    }
  }
  void write_restart(FILE *) override {}
  void read_restart(FILE *) override { make(); }

 private:
  static constexpr double TINY = 1e-9;    // Å^4, as in the energy that this one is equal to
  std::vector<std::vector<Series>> series;
  void make()
  {
    if (allocated) return;
    allocated = 1;
    const int n = atom->ndihedraltypes + 1;
    memory->create(setflag, n, "dihedral:setflag");
    for (int t = 0; t < n; t++) setflag[t] = 0;
    series.resize(n);
  }
  static double value(const std::vector<Series> &all, double c, double s, double c1, double c2, double &by_phi,
                      double &by_c1, double &by_c2)
  {
    double energy = by_phi = by_c1 = by_c2 = 0.0;
    for (const Series &one : all) {
      double sum = one.cos[0], slope = 0.0, ck = 1.0, sk = 0.0;
      for (std::size_t k = 1; k < one.cos.size(); k++) {
        const double next = ck * c - sk * s;
        sk = sk * c + ck * s;
        ck = next;
        sum += one.cos[k] * ck + one.sin[k] * sk;
        slope += k * (one.sin[k] * ck - one.cos[k] * sk);
      }
      const double s1 = std::sqrt(std::fmax(1.0 - c1 * c1, 0.0)), s2 = std::sqrt(std::fmax(1.0 - c2 * c2, 0.0));
      const int p = one.power;
      const double w1 = raised(s1, p), w2 = raised(s2, p);
      energy += sum * w1 * w2;
      by_phi += slope * w1 * w2;
      if (p == 0) continue;
      // d sin^p / d cos = -p cos sin^(p - 2)
      by_c1 -= sum * w2 * p * c1 * (p >= 2 ? raised(s1, p - 2) : 1.0 / std::fmax(s1, 1e-6));
      by_c2 -= sum * w1 * p * c2 * (p >= 2 ? raised(s2, p - 2) : 1.0 / std::fmax(s2, 1e-6));
    }
    return energy;
  }
};

}    // namespace

void *make_dihedral(LAMMPS *lmp) { return new DihedralConsil(lmp); }
