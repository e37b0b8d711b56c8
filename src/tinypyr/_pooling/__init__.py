"""Pooling of arrays in memory: arguments, and the way to the compiled core or the numpy reference."""
