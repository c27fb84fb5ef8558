"""Containers as Jupyter kernels: the whole notebook runs inside one."""
