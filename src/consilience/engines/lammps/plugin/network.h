// A network as programs of XLA for fixed numbers of rows (beads) and slots (neighbours), run through PJRT.
// SPDX-License-Identifier: MIT
#ifndef CONSIL_NETWORK_H
#define CONSIL_NETWORK_H

#include "pjrt.h"

#include <string>
#include <vector>

namespace consil {

// One batch of beads: vectors (rows, slots, 3) Å to neighbours, types, separations along the chain, and how many slots of
// a row are filled. Results: energies (rows,) and forces (rows, slots, 3) on the neighbours, kcal/mol and Å.
struct Batch {
  int rows = 0, slots = 0;
  std::vector<double> vectors, energies, forces;
  std::vector<int> types_i, types_j, separation, count;
  void resize(int rows, int slots);
};

class Network {
 public:
  double cutoff = 0.0;
  int far = 99;    // separation of beads of different chains
  std::vector<std::string> types;

  // folder: what an export wrote; library: a PJRT plug-in for CPUs. Throws std::runtime_error.
  Network(const std::string &library, const std::string &folder);
  // the smallest program for so many beads with so many neighbours: rows and slots; slots = 0 where there is none
  void choose(int beads, int neighbours, int &rows, int &slots) const;
  int most_slots() const;
  void run(Batch &batch);

 private:
  struct Program {
    int rows, slots;
    std::string file;
    pjrt::Executable *executable = nullptr;
  };
  std::string folder, options;
  std::vector<Program> programs;
  const pjrt::Api *api = nullptr;
  pjrt::Client *client = nullptr;
  pjrt::Device *device = nullptr;

  void read_manifest();
  void start(const std::string &library);
  void compile(Program &program);
  template <class Args> void call(pjrt::Function function, Args &args) const;
  void check(pjrt::Error *error) const;
  void finish(pjrt::Event *event) const;
  pjrt::Buffer *send(const void *data, pjrt::Kind kind, const std::vector<std::int64_t> &dims) const;
  pjrt::Event *receive(pjrt::Buffer *buffer, std::vector<double> &into) const;    // filled when it is finished
  void destroy(pjrt::Buffer *buffer) const;
};

}    // namespace consil
#endif
