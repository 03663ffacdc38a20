"""Passes: a graph and statistics in, a graph and a report out. They don't run anything."""
