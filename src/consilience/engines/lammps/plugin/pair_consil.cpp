// pair_style consil CUTOFF FAR: sums of generated forms of a distance, by types and by separation along the chain.
//     pair_coeff I J CUTOFF none | at SEPARATION FORM p0 p1 ... [FORM ...] [at ...]
// Beads of different chains, and those at least FAR apart in one chain, have separation FAR. Where nothing is given,
// as between bonded beads, there is no energy. Chain and place: the molecule, and `fix property/atom i_number`.
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

#include <algorithm>
#include <cstdlib>
#include <cstring>

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
    const int *type = atom->type, *places = atom->ivector[number];
    const int nlocal = atom->nlocal, newton_pair = force->newton_pair;
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
        const bool same = atom->molecule[i] == atom->molecule[j];
        const int apart = same ? std::min(std::abs(places[i] - places[j]), far) : far;
        const consil::Sum &terms = sum(type[i], type[j], apart);
        if (terms.empty()) continue;
        double slope;
        const double energy = factor * terms(r, slope), fpair = -factor * slope / r;
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
    if (narg != 2) error->all(FLERR, "pair_style consil CUTOFF FAR");
    widest = utils::numeric(FLERR, arg[0], false, lmp);
    far = utils::inumeric(FLERR, arg[1], false, lmp);
    if (far < 1) error->all(FLERR, "pair_style consil: FAR must be at least 1");
  }
  void coeff(int narg, char **arg) override
  {
    if (narg < 4) error->all(FLERR, "pair_coeff for style consil: I J CUTOFF none, or I J CUTOFF at SEPARATION ...");
    make();
    int ilow, ihigh, jlow, jhigh;
    utils::bounds(FLERR, arg[0], 1, atom->ntypes, ilow, ihigh, error);
    utils::bounds(FLERR, arg[1], 1, atom->ntypes, jlow, jhigh, error);
    const double cutoff = utils::numeric(FLERR, arg[2], false, lmp);
    std::vector<consil::Sum> given(far + 1);
    for (int k = 3; k < narg && std::strcmp(arg[k], "none");) {
      if (std::strcmp(arg[k], "at") || k + 2 >= narg) error->all(FLERR, "pair_coeff: expected at SEPARATION FORM ...");
      const int apart = utils::inumeric(FLERR, arg[k + 1], false, lmp), first = k + 2;
      if (apart < 1 || apart > far) error->all(FLERR, "pair_coeff: separation {}, expected 1 to {}", apart, far);
      for (k = first; k < narg && std::strcmp(arg[k], "at");) k++;
      try {
        given[apart] = consil::Sum(k - first, arg + first);
      } catch (std::exception &e) {
        error->all(FLERR, "pair_coeff: {}", e.what());
      }
    }
    for (int i = ilow; i <= ihigh; i++)
      for (int j = MAX(jlow, i); j <= jhigh; j++) {
        for (int apart = 0; apart <= far; apart++) sum(i, j, apart) = sum(j, i, apart) = given[apart];
        cutoffs[i * size + j] = cutoffs[j * size + i] = cutoff;
        setflag[i][j] = 1;
      }
  }
  void init_style() override
  {
    int flag, columns, ghost;
    number = atom->find_custom_ghost("number", flag, columns, ghost);
    if (number < 0 || flag || columns || !ghost)
      error->all(FLERR, "pair_style consil needs fix ID all property/atom i_number ghost yes");
    if (!atom->molecule) error->all(FLERR, "pair_style consil needs an atom style with molecules (chains)");
    neighbor->add_request(this);
  }
  double init_one(int i, int j) override
  {
    if (!setflag[i][j]) error->all(FLERR, "All pair coeffs are not set: include the coefficients again");
    return cutoffs[i * size + j];
  }
  double single(int i, int j, int itype, int jtype, double rsq, double, double factor, double &fforce) override
  {
    const int *places = atom->ivector[number];
    const bool same = atom->molecule[i] == atom->molecule[j];
    const double r = std::sqrt(rsq);
    double slope;
    const double energy = sum(itype, jtype, same ? std::min(std::abs(places[i] - places[j]), far) : far)(r, slope);
    fforce = -factor * slope / r;
    return factor * energy;
  }

 private:
  double widest = 0.0;
  int size = 0, far = 1, number = -1;
  std::vector<consil::Sum> sums;
  std::vector<double> cutoffs;
  consil::Sum &sum(int i, int j, int apart) { return sums[(i * size + j) * (far + 1) + apart]; }
  void make()
  {
    if (allocated) return;
    allocated = 1;
    size = atom->ntypes + 1;
    memory->create(setflag, size, size, "pair:setflag");
    memory->create(cutsq, size, size, "pair:cutsq");
    for (int i = 0; i < size; i++)
      for (int j = 0; j < size; j++) setflag[i][j] = 0;
    sums.resize(size * size * (far + 1));
    cutoffs.assign(size * size, widest);
  }
};

}    // namespace

void *make_pair(LAMMPS *lmp) { return new PairConsil(lmp); }
