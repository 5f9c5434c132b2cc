"""The amide group of a protein as relaxation sees it: the usual values, where nothing better is known."""

R_NH = 1.02  # Å, the effective length of model-free analysis
CSA = -172.0  # ppm, goes with 1.02 Å (Kroenke et al., J. Am. Chem. Soc. 121 (1999) 10119)
CSA_ANGLE = 17.0  # degrees from N-H, in the peptide plane, towards C'
