"""Helpers without knowledge of images: files, sizes in bytes, terminals, pictures."""
