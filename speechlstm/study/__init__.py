"""LSTMs, understood: cells as equations, gates and memory on real speech, comparisons of networks."""
