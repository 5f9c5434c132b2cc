"""Energy functions as forces of other programs: ASE, OpenMM; and the evaluation that they share."""
