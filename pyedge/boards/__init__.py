"""Board profiles: the facts of boards/*.toml, read and checked. Knows nothing of the rest of pyedge."""

from .bench import Stand, read_bench
from .profile import (
    Cluster,
    Emulator,
    EnergyModel,
    Image,
    Link,
    Linux,
    Memory,
    Profile,
    ProfileError,
    Slots,
    Store,
    list_profiles,
    load_profile,
    read_profile,
)

__all__ = [
    "Cluster",
    "Emulator",
    "EnergyModel",
    "Image",
    "Link",
    "Linux",
    "Memory",
    "Profile",
    "ProfileError",
    "Slots",
    "Stand",
    "Store",
    "list_profiles",
    "load_profile",
    "read_bench",
    "read_profile",
]
