"""The verbs of kernels; the magics' command imports them when they are asked for."""
