// Tells LAMMPS (`plugin load`) which styles this library adds.
// SPDX-License-Identifier: MIT
#include "styles.h"

// the interface of LAMMPS for plug-ins; its header is not among those that are installed
extern "C" {
typedef void *(lammpsplugin_factory1)(void *);
typedef void *(lammpsplugin_factory2)(void *, int, char **);
typedef struct {
  const char *version, *style, *name, *info, *author;
  union {
    lammpsplugin_factory1 *v1;
    lammpsplugin_factory2 *v2;
  } creator;
  void *handle;
} lammpsplugin_t;
typedef void (*lammpsplugin_regfunc)(lammpsplugin_t *, void *);
}

namespace {

template <void *(*make)(LAMMPS_NS::LAMMPS *)> void *create(void *lmp)
{
  return make(static_cast<LAMMPS_NS::LAMMPS *>(lmp));
}

void add(void *lmp, void *handle, void *regfunc, const char *style, const char *name, const char *info,
         lammpsplugin_factory1 *creator)
{
  lammpsplugin_t plugin{};
  plugin.version = LAMMPS_RELEASE;
  plugin.style = style;
  plugin.name = name;
  plugin.info = info;
  plugin.author = "The consilience developers";
  plugin.creator.v1 = creator;
  plugin.handle = handle;
  ((lammpsplugin_regfunc) regfunc)(&plugin, lmp);
}

}    // namespace

extern "C" void lammpsplugin_init(void *lmp, void *handle, void *regfunc)
{
  add(lmp, handle, regfunc, "bond", "consil", "terms of a distance along the chain", &create<make_bond>);
  add(lmp, handle, regfunc, "angle", "consil", "terms of the cosine of an angle", &create<make_angle>);
  add(lmp, handle, regfunc, "dihedral", "consil", "series of a dihedral times sines", &create<make_dihedral>);
  add(lmp, handle, regfunc, "pair", "consil", "terms of a distance between types", &create<make_pair>);
  add(lmp, handle, regfunc, "pair", "jax/pjrt", "a strictly local network, a program of XLA", &create<make_network>);
}
