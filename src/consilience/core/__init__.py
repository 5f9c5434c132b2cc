"""Parameters, terms, weights, solvers, stages and the one loop; knows no molecule."""
