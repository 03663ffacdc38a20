"""The graph, its importers and builder, and a NumPy reference of every op."""

from . import ops_hybrid as ops_hybrid
from . import reference_hybrid as reference_hybrid
