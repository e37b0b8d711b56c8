"""Helpers of the tests: the oracle, strategies for random arrays, small stores."""
