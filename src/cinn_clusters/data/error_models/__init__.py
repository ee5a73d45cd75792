"""What measurement does to observables: errors, priors, and the Gaussian of the true ones."""
