"""consil spectrum: frequencies, infrared intensities, and spectra of dynamics."""
