"""Canonical files from the files in which data sets come: a module each."""

from poseda.data.prepare.base import Preparation, Report

#: name on the command line to the preparation
PREPARATIONS: dict[str, type[Preparation]] = {}

__all__ = ["PREPARATIONS", "Preparation", "Report"]
