"""What a cycle of refinement hands on to the next as plain arrays: scale, error model and room for contacts."""

from __future__ import annotations

import numpy as np

from consilience.core.fit import Carry
from consilience.structure.contacts import Contacts
from consilience.xray.experiment import Fitted
from consilience.xray.scaling import Scale
from consilience.xray.sigmaa import ErrorModel


def packed(fitted: Fitted, contacts: Contacts) -> Carry:
    """The arrays of a preparation from which the next one starts."""
    s, e = fitted.scale, fitted.errors
    return {
        "contacts": np.array(len(contacts.ideal)),
        "scale": np.array([s.k, s.k_sol, s.b_sol, s.b_overall]),
        "scale_aniso": np.asarray(s.b_aniso, float),
        "errors": np.stack([e.nodes, e.d, e.log_s]),
        "fitted_errors": np.stack([e.nodes, fitted.fitted_errors.d, fitted.fitted_errors.log_s]),
        "kappa": np.array(e.kappa),
    }


def carried_scale(carry: Carry) -> Scale | None:
    """The scale of the cycle before; None where it handed on none."""
    if "scale" not in carry:
        return None
    k, k_sol, b_sol, b_overall = (float(v) for v in carry["scale"])
    return Scale(k, carry["scale_aniso"], k_sol, b_sol, b_overall)


def carried_errors(carry: Carry, name: str) -> ErrorModel | None:
    """The error model of the cycle before, by its name in `packed`; None where it handed on none."""
    if name not in carry:
        return None
    nodes, d, log_s = carry[name]
    return ErrorModel(nodes, d, log_s, float(carry["kappa"]))
