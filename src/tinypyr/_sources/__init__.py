"""Readers: code that turns a file into a lazy array with a grid."""
