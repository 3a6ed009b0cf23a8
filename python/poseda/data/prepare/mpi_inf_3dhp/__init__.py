"""MPI-INF-3DHP, from its own files or from those that others made of it."""

from poseda.data.prepare.mpi_inf_3dhp.command import MpiInf3dhp

__all__ = ["MpiInf3dhp"]
