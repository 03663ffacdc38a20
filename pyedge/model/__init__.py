"""The graph, its importers and builder, and a NumPy reference of every op."""
