#!/usr/bin/env bash
# Environments of the programs we compare with, outside the clone: $CONSIL_PEERS or ~/.cache/consilience-peers (about 7 GB).
set -euo pipefail
home=${CONSIL_PEERS:-$HOME/.cache/consilience-peers}
python=${PYTHON:-python3}

make() { # NAME PACKAGE...: one environment per program, because their requirements exclude each other; PACKAGE may begin with options
    local name=$1
    shift
    if [ ! -e "$home/$name/.complete" ]; then
        "$python" -m venv "$home/$name"
        for package in "$@"; do "$home/$name/bin/pip" install -q --disable-pip-version-check $package; done
        touch "$home/$name/.complete"
    fi
    "$home/$name/bin/pip" list --format=freeze --disable-pip-version-check | grep -i -E "^(servalcat|torchref|torch|cctbx-base|gemmi|mace-torch|e3nn|nequip|nequip-allegro|schnetpack|jax-md)=" || true
}

mkdir -p "$home"
make servalcat "servalcat==0.4.142"
make torchref "torch==2.13.0" "torchref==0.7.0" "torchref-kernels==0.1.0"
make cctbx "cctbx-base==2025.11"
make mace "torch==2.13.0" "mace-torch==0.3.16"
make nequip "torch==2.13.0" "nequip==0.19.1"
make allegro "torch==2.13.0" "nequip-allegro==0.8.3"
make jaxmd "jax==0.10.2" "jaxlib==0.10.2" "jax-md==0.2.29"
# --no-deps: its sympy<=1.12 would take torch 2.4.1 with 4 GB of CUDA; the same network runs as fast on torch 2.13
make schnetpack "torch==2.13.0" "--no-deps schnetpack==2.1.1" "ase" "h5py" "pyyaml" "hydra-core" "hydra-colorlog" \
    "pytorch-lightning" "torchmetrics" "rich" "fasteners" "dirsync" "torch-ema" "matscipy" "tensorboard" "tensorboardX" "tqdm" "protobuf"
