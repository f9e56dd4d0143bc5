"""How good it is: error rates, comparisons of decoders, tuning, error reports."""
