// pair_style consil CUTOFF: sums of generated forms of a distance for each pair of types.
//     pair_coeff I J CUTOFF none | FORM p0 p1 ... [FORM ...]
// SPDX-License-Identifier: MIT
#include "styles.h"
#include "sum.h"

#include "atom.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "pair.h"

using namespace LAMMPS_NS;

namespace {

class PairConsil : public Pair {
 public:
  explicit PairConsil(LAMMPS *lmp) : Pair(lmp)
  {
    single_enable = 1;
    restartinfo = 0;
    respa_enable = 0;
  }
  ~PairConsil() override
  {
    if (allocated && !copymode) {
      memory->destroy(setflag);
      memory->destroy(cutsq);
    }
  }
  void compute(int eflag, int vflag) override
  {
    ev_init(eflag, vflag);
    double **x = atom->x, **f = atom->f;
    const int *type = atom->type, nlocal = atom->nlocal, newton_pair = force->newton_pair;
    for (int ii = 0; ii < list->inum; ii++) {
      const int i = list->ilist[ii];
      for (int jj = 0; jj < list->numneigh[i]; jj++) {
        int j = list->firstneigh[i][jj];
        const double factor = force->special_lj[sbmask(j)];
        if (factor == 0.0) continue;
        j &= NEIGHMASK;
        const double d[3] = {x[i][0] - x[j][0], x[i][1] - x[j][1], x[i][2] - x[j][2]};
        const double rsq = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
        if (rsq >= cutsq[type[i]][type[j]]) continue;
        const double r = std::sqrt(rsq);
        double slope;
        const double energy = factor * sum(type[i], type[j])(r, slope), fpair = -factor * slope / r;
        for (int k = 0; k < 3; k++) {
          f[i][k] += d[k] * fpair;
          if (newton_pair || j < nlocal) f[j][k] -= d[k] * fpair;
        }
        if (evflag) ev_tally(i, j, nlocal, newton_pair, energy, 0.0, fpair, d[0], d[1], d[2]);
      }
    }
    if (vflag_fdotr) virial_fdotr_compute();
  }
  void settings(int narg, char **arg) override
  {
    if (narg != 1) error->all(FLERR, "pair_style consil CUTOFF");
    widest = utils::numeric(FLERR, arg[0], false, lmp);
  }
  void coeff(int narg, char **arg) override
  {
    if (narg < 4) error->all(FLERR, "pair_coeff for style consil: I J CUTOFF none, or I J CUTOFF FORM numbers ...");
    make();
    int ilow, ihigh, jlow, jhigh;
    utils::bounds(FLERR, arg[0], 1, atom->ntypes, ilow, ihigh, error);
    utils::bounds(FLERR, arg[1], 1, atom->ntypes, jlow, jhigh, error);
    const double cutoff = utils::numeric(FLERR, arg[2], false, lmp);
    for (int i = ilow; i <= ihigh; i++)
      for (int j = MAX(jlow, i); j <= jhigh; j++) {
        try {
          sum(i, j) = sum(j, i) = consil::Sum(narg - 3, arg + 3);
        } catch (std::exception &e) {
          error->all(FLERR, "pair_coeff: {}", e.what());
        }
        cutoffs[i * size + j] = cutoffs[j * size + i] = cutoff;
        setflag[i][j] = 1;
      }
  }
  double init_one(int i, int j) override
  {
    if (!setflag[i][j]) error->all(FLERR, "All pair coeffs are not set: include the coefficients again");
    return cutoffs[i * size + j];
  }
  double single(int, int, int itype, int jtype, double rsq, double, double factor, double &fforce) override
  {
    const double r = std::sqrt(rsq);
    double slope;
    const double energy = factor * sum(itype, jtype)(r, slope);
    fforce = -factor * slope / r;
    return energy;
  }

 private:
  double widest = 0.0;
  int size = 0;
  std::vector<consil::Sum> sums;
  std::vector<double> cutoffs;
  consil::Sum &sum(int i, int j) { return sums[i * size + j]; }
  void make()
  {
    if (allocated) return;
    allocated = 1;
    size = atom->ntypes + 1;
    memory->create(setflag, size, size, "pair:setflag");
    memory->create(cutsq, size, size, "pair:cutsq");
    for (int i = 0; i < size; i++)
      for (int j = 0; j < size; j++) setflag[i][j] = 0;
    sums.resize(size * size);
    cutoffs.assign(size * size, widest);
  }
};

}    // namespace

void *make_pair(LAMMPS *lmp) { return new PairConsil(lmp); }
