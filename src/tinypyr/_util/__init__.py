"""Helpers that know nothing of volumes: files, sizes in bytes, units, terminals, pictures."""
