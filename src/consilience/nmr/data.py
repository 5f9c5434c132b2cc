"""Relaxation data as the jobs hold them: one row for each residue, one column for each rate at one field."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np

from consilience.core.errors import Finding

Kind = Literal["R1", "R2", "NOE", "etaxy", "etaz"]
KINDS: tuple[Kind, ...] = ("R1", "R2", "NOE", "etaxy", "etaz")


class Residue(NamedTuple):
    """Whose amide was measured. `chain` and `name` (three letters) are empty where the file does not say them."""

    number: int
    name: str = ""
    chain: str = ""

    def __str__(self) -> str:
        return " ".join(x for x in (self.name, self.chain, str(self.number)) if x)


class Column(NamedTuple):
    """One kind of rate at one field (MHz of 1H); `source` names the file or saveframe it came from."""

    kind: Kind
    field: float
    source: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.field:g} MHz"


@dataclass(frozen=True)
class RelaxationData:
    """15N relaxation of backbone amides.

    `value`, `sigma` (n residues, m columns): s^-1, NOE dimensionless (saturated over equilibrium intensity); NaN in
    both where nothing was measured. Two columns may be of the same kind and field (two data sets).
    """

    residues: tuple[Residue, ...]
    columns: tuple[Column, ...]
    value: np.ndarray
    sigma: np.ndarray
    findings: tuple[Finding, ...] = ()
    files: tuple[str, ...] = field(default=())

    @property
    def measured(self) -> np.ndarray:
        """(n, m) bool."""
        return np.isfinite(self.value) & np.isfinite(self.sigma)

    @property
    def fields(self) -> np.ndarray:
        """The different fields, ascending, MHz of 1H."""
        return np.unique([c.field for c in self.columns])

    def select(self, rows: np.ndarray | None = None, columns: np.ndarray | None = None) -> RelaxationData:
        """A part of the data by bool or index arrays; columns and residues without any value stay."""
        r = np.arange(len(self.residues)) if rows is None else np.arange(len(self.residues))[rows]
        c = np.arange(len(self.columns)) if columns is None else np.arange(len(self.columns))[columns]
        return replace(
            self,
            residues=tuple(self.residues[i] for i in r),
            columns=tuple(self.columns[i] for i in c),
            value=self.value[np.ix_(r, c)],
            sigma=self.sigma[np.ix_(r, c)],
        )
