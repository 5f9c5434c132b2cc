// What the parts of the plug-in hand to plugin.cpp.
// SPDX-License-Identifier: MIT
#ifndef CONSIL_STYLES_H
#define CONSIL_STYLES_H

namespace LAMMPS_NS {
class LAMMPS;
}

void *make_bond(LAMMPS_NS::LAMMPS *);
void *make_angle(LAMMPS_NS::LAMMPS *);
void *make_dihedral(LAMMPS_NS::LAMMPS *);
void *make_pair(LAMMPS_NS::LAMMPS *);
void *make_network(LAMMPS_NS::LAMMPS *);

#endif
