"""Functions compiled to machine code where Numba is installed, plain Python elsewhere."""

__all__ = ["generated", "inline", "kept", "kernels", "twins"]
