"""Parameters, terms, weights, solvers, stages and the one loop; knows no molecule."""

from consilience._xla import guard

guard()  # before anything is compiled
