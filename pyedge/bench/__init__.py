"""What this computer and the boards can do: peaks, kernels, peers side by side, tables of costs."""
