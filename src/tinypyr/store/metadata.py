"""Metadata of a volume beyond its levels, in terms that formats share, and the entries that a format cannot keep."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Metadata:
    """Metadata of a volume beyond the levels and their world coordinates.

    Attributes
    ----------
    family : str
        Name of the formats whose places ``foreign`` refers to: FAMILY of the format that was read. Empty if there is
        nothing foreign.
    name : str
        Name of the image; empty if there is none.
    channels : dict, optional
        Names, colours and windows of channels, as the object ``omero`` of OME-Zarr.
    labels : dict, optional
        Colours, properties and source of labels, as the object ``image-label`` of OME-Zarr.
    user : dict
        Attributes that no specification defines.
    systems : dict
        Coordinate systems beside that of the levels, and transformations to them, as OME-Zarr 0.6 has them.
    foreign : dict
        Everything else, verbatim, by its place in the metadata, such as ``"mesh"``.
    stays : tuple of str
        Names of what belongs to this store alone, such as other images of the same group, and is in no copy.
    """

    family: str = ""
    name: str = ""
    channels: dict[str, Any] | None = None
    labels: dict[str, Any] | None = None
    user: dict[str, Any] = field(default_factory=dict)
    systems: dict[str, Any] = field(default_factory=dict)
    foreign: dict[str, Any] = field(default_factory=dict)
    stays: tuple[str, ...] = ()

    def left_behind(self, family: str, keeps: frozenset[str]) -> list[str]:
        """Return the names of the entries that a format does not keep.

        ``keeps`` has the names of the attributes of this class for which the format has a place. Formats of one
        ``family`` keep ``foreign`` as well.
        """
        missing = []
        if self.name and "name" not in keeps:
            missing.append(f"name {self.name!r}")
        if self.channels and "channels" not in keeps:
            missing.append("channels (omero)")
        if self.labels and "labels" not in keeps:
            missing.append("colours and properties of labels (image-label)")
        if "user" not in keeps:
            missing += sorted(self.user)
        if self.systems and "systems" not in keeps:
            missing.append("coordinate systems")
        if family != self.family:
            missing += sorted(self.foreign)
        return [*missing, *self.stays]
