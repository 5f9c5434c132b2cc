// pair_style jax/pjrt LIBRARY FOLDER: a strictly local network; pair_coeff * * NAME-OF-TYPE-1 NAME-OF-TYPE-2 ...
//
// The energy is a sum over beads, each a function of the vectors to its neighbours alone. Every rank computes its own
// beads; forces on ghosts go home with the reverse communication (newton on), so that any decomposition is exact.
// Separations along a chain come from `fix property/atom i_number` and the molecule of each bead, never from its index.
// SPDX-License-Identifier: MIT
#include "network.h"
#include "styles.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "pair.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <stdexcept>

using namespace LAMMPS_NS;

namespace {

class PairNetwork : public Pair {
 public:
  explicit PairNetwork(LAMMPS *lmp) : Pair(lmp)
  {
    single_enable = 0;
    restartinfo = 0;
    respa_enable = 0;
    one_coeff = 1;
    manybody_flag = 1;
  }
  ~PairNetwork() override
  {
    if (allocated && !copymode) {
      memory->destroy(setflag);
      memory->destroy(cutsq);
    }
  }

  void settings(int narg, char **arg) override
  {
    if (narg != 2) error->all(FLERR, "pair_style jax/pjrt LIBRARY FOLDER");
    if (comm->nprocs > 1) setenv("PJRT_NPROC", "1", 0);    // one thread for each rank, unless the user said otherwise
    try {
      network = std::make_unique<consil::Network>(arg[0], arg[1]);
    } catch (std::exception &e) {
      error->all(FLERR, "pair_style jax/pjrt: {}", e.what());
    }
  }

  void coeff(int narg, char **arg) override
  {
    const int n = atom->ntypes;
    if (narg != 2 + n) error->all(FLERR, "pair_coeff * * and a name for each of the {} types", n);
    if (!allocated) {
      memory->create(setflag, n + 1, n + 1, "pair:setflag");
      memory->create(cutsq, n + 1, n + 1, "pair:cutsq");
      allocated = 1;
    }
    type_of.assign(n + 1, 0);
    for (int t = 1; t <= n; t++) {
      const auto found = std::find(network->types.begin(), network->types.end(), arg[1 + t]);
      if (found == network->types.end()) error->all(FLERR, "the network knows no type {}", arg[1 + t]);
      type_of[t] = found - network->types.begin();
    }
    for (int i = 0; i <= n; i++)
      for (int j = 0; j <= n; j++) setflag[i][j] = i > 0 && j >= i;
  }

  void init_style() override
  {
    if (!force->newton_pair) error->all(FLERR, "pair_style jax/pjrt needs newton on");
    int flag, columns, ghost;
    number = atom->find_custom_ghost("number", flag, columns, ghost);
    if (number < 0 || flag || columns || !ghost)
      error->all(FLERR, "pair_style jax/pjrt needs fix ID all property/atom i_number ghost yes");
    if (!atom->molecule) error->all(FLERR, "pair_style jax/pjrt needs an atom style with molecules (chains)");
    neighbor->add_request(this, NeighConst::REQ_FULL);
  }

  double init_one(int, int) override { return network->cutoff; }

  void compute(int eflag, int vflag) override
  {
    ev_init(eflag, vflag);
    gather();
    int rows, slots;
    network->choose(list->inum, most, rows, slots);
    if (!slots)
      error->one(FLERR, "a bead has {} neighbours within {} Å, and the largest program of the export takes {}: "
                 "is the chain collapsed? else export again with more slots", most, network->cutoff,
                 network->most_slots());
    try {
      for (int first = 0; first < list->inum; first += rows) {
        fill(first, rows, slots);
        network->run(batch);
        add(first, eflag);
      }
    } catch (std::exception &e) {
      error->one(FLERR, "pair_style jax/pjrt: {}", e.what());
    }
    if (vflag_fdotr) virial_fdotr_compute();
  }

 private:
  std::unique_ptr<consil::Network> network;
  std::vector<int> type_of, near, begins;    // neighbours within the cutoff of all beads, and where those of each begin
  consil::Batch batch;
  int number = -1, most = 0;

  void gather()
  {
    double **x = atom->x;
    const double limit = network->cutoff * network->cutoff;
    near.clear();
    begins.assign(1, 0);
    most = 0;
    for (int ii = 0; ii < list->inum; ii++) {
      const int i = list->ilist[ii];
      for (int jj = 0; jj < list->numneigh[i]; jj++) {
        const int j = list->firstneigh[i][jj] & NEIGHMASK;
        const double a = x[j][0] - x[i][0], b = x[j][1] - x[i][1], c = x[j][2] - x[i][2];
        if (a * a + b * b + c * c < limit) near.push_back(j);
      }
      most = std::max(most, int(near.size()) - begins.back());
      begins.push_back(near.size());
    }
  }

  void fill(int first, int rows, int slots)
  {
    double **x = atom->x;
    const int *places = atom->ivector[number];
    batch.resize(rows, slots);
    for (int row = 0; row < rows; row++) {
      const int ii = first + row;
      const bool there = ii < list->inum;
      const int i = there ? list->ilist[ii] : 0, count = there ? begins[ii + 1] - begins[ii] : 0;
      batch.count[row] = count;
      batch.types_i[row] = there ? type_of[atom->type[i]] : 0;
      for (int k = 0; k < slots; k++) {
        const std::size_t cell = std::size_t(row) * slots + k;
        double *v = &batch.vectors[3 * cell];
        if (k >= count) {
          v[0] = 1e3;    // an empty slot: no zero length
          v[1] = v[2] = 0.0;
          batch.types_j[cell] = 0;
          batch.separation[cell] = network->far;
          continue;
        }
        const int j = near[begins[ii] + k];
        for (int d = 0; d < 3; d++) v[d] = x[j][d] - x[i][d];
        batch.types_j[cell] = type_of[atom->type[j]];
        const bool same = atom->molecule[i] == atom->molecule[j];
        batch.separation[cell] = same ? std::min(std::abs(places[i] - places[j]), network->far) : network->far;
      }
    }
  }

  void add(int first, int eflag)
  {
    double **f = atom->f;
    for (int row = 0; row < batch.rows && first + row < list->inum; row++) {
      const int ii = first + row, i = list->ilist[ii];
      if (!std::isfinite(batch.energies[row]))
        throw std::runtime_error("the energy of bead " + std::to_string(atom->tag[i]) + " is not finite");
      for (int k = 0; k < batch.count[row]; k++) {
        const int j = near[begins[ii] + k];
        const std::size_t cell = std::size_t(row) * batch.slots + k;
        const double *push = &batch.forces[3 * cell], *v = &batch.vectors[3 * cell];
        for (int d = 0; d < 3; d++) {
          f[j][d] += push[d];
          f[i][d] -= push[d];
        }
        if (vflag_either) ev_tally_xyz(j, i, atom->nlocal, 1, 0.0, 0.0, push[0], push[1], push[2], v[0], v[1], v[2]);
      }
      if (eflag && eflag_global) eng_vdwl += batch.energies[row];
      if (eflag && eflag_atom) eatom[i] += batch.energies[row];
    }
  }
};

}    // namespace

void *make_network(LAMMPS *lmp) { return new PairNetwork(lmp); }
