#!/usr/bin/env bash
# Environments of the programs we compare with, outside the clone: $CONSIL_PEERS or ~/.cache/consilience-peers (about 3 GB).
set -euo pipefail
home=${CONSIL_PEERS:-$HOME/.cache/consilience-peers}
python=${PYTHON:-python3}

make() { # NAME PACKAGE...: one environment per program, because their requirements exclude each other
    local name=$1
    shift
    if [ ! -e "$home/$name/.complete" ]; then
        "$python" -m venv "$home/$name"
        for package in "$@"; do "$home/$name/bin/pip" install -q --disable-pip-version-check "$package"; done
        touch "$home/$name/.complete"
    fi
    "$home/$name/bin/pip" list --format=freeze --disable-pip-version-check | grep -i -E "^(servalcat|torchref|torch|cctbx-base|gemmi)=" || true
}

mkdir -p "$home"
make servalcat "servalcat==0.4.142"
make torchref "torch==2.13.0" "torchref==0.7.0" "torchref-kernels==0.1.0"
make cctbx "cctbx-base==2025.11"
