"""Mixers around mixers: sums, both directions, learned initial states."""
