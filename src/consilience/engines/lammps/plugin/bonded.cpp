// bond_style consil and angle_style consil: sums of generated forms of a distance or of the cosine of an angle.
//     bond_coeff TYPE none | FORM p0 p1 ... [FORM ...]
// Coefficients are not kept in restart files: include them again after read_restart.
// SPDX-License-Identifier: MIT
#include "styles.h"
#include "sum.h"

#include "angle.h"
#include "atom.h"
#include "bond.h"
#include "domain.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "neighbor.h"

using namespace LAMMPS_NS;

namespace {

class BondConsil : public Bond {
 public:
  explicit BondConsil(LAMMPS *lmp) : Bond(lmp) {}
  ~BondConsil() override
  {
    if (allocated && !copymode) memory->destroy(setflag);
  }
  void compute(int eflag, int vflag) override
  {
    ev_init(eflag, vflag);
    double **x = atom->x, **f = atom->f;
    const int nlocal = atom->nlocal, newton_bond = force->newton_bond;
    for (int n = 0; n < neighbor->nbondlist; n++) {
      const int *row = neighbor->bondlist[n];
      const consil::Sum &sum = sums[row[2]];
      if (sum.empty()) continue;
      const int i = row[0], j = row[1];
      const double d[3] = {x[i][0] - x[j][0], x[i][1] - x[j][1], x[i][2] - x[j][2]};
      const double r = std::sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
      double slope;
      const double energy = sum(r, slope), fbond = -slope / r;
      for (int k = 0; k < 3; k++) {
        if (newton_bond || i < nlocal) f[i][k] += d[k] * fbond;
        if (newton_bond || j < nlocal) f[j][k] -= d[k] * fbond;
      }
      if (evflag) ev_tally(i, j, nlocal, newton_bond, energy, fbond, d[0], d[1], d[2]);
    }
  }
  void coeff(int narg, char **arg) override
  {
    if (narg < 2) error->all(FLERR, "bond_coeff for style consil: TYPE none, or TYPE FORM numbers ...");
    make();
    int low, high;
    utils::bounds(FLERR, arg[0], 1, atom->nbondtypes, low, high, error);
    for (int t = low; t <= high; t++) {
      try {
        sums[t] = consil::Sum(narg - 1, arg + 1);
      } catch (std::exception &e) {
        error->all(FLERR, "bond_coeff: {}", e.what());
      }
      setflag[t] = 1;
    }
  }
  double equilibrium_distance(int) override { return 3.8; }
  void write_restart(FILE *) override {}
  void read_restart(FILE *) override { make(); }
  double single(int type, double rsq, int, int, double &fforce) override
  {
    const double r = std::sqrt(rsq);
    double slope;
    const double energy = sums[type](r, slope);
    fforce = -slope / r;
    return energy;
  }

 private:
  std::vector<consil::Sum> sums;
  void make()
  {
    if (allocated) return;
    allocated = 1;
    const int n = atom->nbondtypes + 1;
    memory->create(setflag, n, "bond:setflag");
    for (int t = 0; t < n; t++) setflag[t] = 0;
    sums.resize(n);
  }
};

class AngleConsil : public Angle {
 public:
  explicit AngleConsil(LAMMPS *lmp) : Angle(lmp) {}
  ~AngleConsil() override
  {
    if (allocated && !copymode) memory->destroy(setflag);
  }
  void compute(int eflag, int vflag) override
  {
    ev_init(eflag, vflag);
    double **x = atom->x, **f = atom->f;
    const int nlocal = atom->nlocal, newton_bond = force->newton_bond;
    for (int n = 0; n < neighbor->nanglelist; n++) {
      const int *row = neighbor->anglelist[n];
      const int i1 = row[0], i2 = row[1], i3 = row[2];
      double a[3], b[3], f1[3], f3[3], slope;
      for (int k = 0; k < 3; k++) {
        a[k] = x[i1][k] - x[i2][k];
        b[k] = x[i3][k] - x[i2][k];
      }
      const double aa = dot(a, a), bb = dot(b, b), ab = std::sqrt(aa * bb), cosine = dot(a, b) / ab;
      const double energy = sums[row[3]](cosine, slope);
      for (int k = 0; k < 3; k++) {
        f1[k] = -slope * (b[k] / ab - cosine * a[k] / aa);
        f3[k] = -slope * (a[k] / ab - cosine * b[k] / bb);
        if (newton_bond || i1 < nlocal) f[i1][k] += f1[k];
        if (newton_bond || i2 < nlocal) f[i2][k] -= f1[k] + f3[k];
        if (newton_bond || i3 < nlocal) f[i3][k] += f3[k];
      }
      if (evflag) ev_tally(i1, i2, i3, nlocal, newton_bond, energy, f1, f3, a[0], a[1], a[2], b[0], b[1], b[2]);
    }
  }
  void coeff(int narg, char **arg) override
  {
    if (narg < 2) error->all(FLERR, "angle_coeff for style consil: TYPE none, or TYPE FORM numbers ...");
    make();
    int low, high;
    utils::bounds(FLERR, arg[0], 1, atom->nangletypes, low, high, error);
    for (int t = low; t <= high; t++) {
      try {
        sums[t] = consil::Sum(narg - 1, arg + 1);
      } catch (std::exception &e) {
        error->all(FLERR, "angle_coeff: {}", e.what());
      }
      setflag[t] = 1;
    }
  }
  double equilibrium_angle(int) override { return 1.6; }
  void write_restart(FILE *) override {}
  void read_restart(FILE *) override { make(); }
  double single(int type, int i1, int i2, int i3) override
  {
    double **x = atom->x, a[3], b[3], slope;
    for (int k = 0; k < 3; k++) {
      a[k] = x[i1][k] - x[i2][k];
      b[k] = x[i3][k] - x[i2][k];
    }
    domain->minimum_image(FLERR, a);
    domain->minimum_image(FLERR, b);
    return sums[type](dot(a, b) / std::sqrt(dot(a, a) * dot(b, b)), slope);
  }

 private:
  std::vector<consil::Sum> sums;
  static double dot(const double *a, const double *b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }
  void make()
  {
    if (allocated) return;
    allocated = 1;
    const int n = atom->nangletypes + 1;
    memory->create(setflag, n, "angle:setflag");
    for (int t = 0; t < n; t++) setflag[t] = 0;
    sums.resize(n);
  }
};

}    // namespace

void *make_bond(LAMMPS *lmp) { return new BondConsil(lmp); }
void *make_angle(LAMMPS *lmp) { return new AngleConsil(lmp); }
