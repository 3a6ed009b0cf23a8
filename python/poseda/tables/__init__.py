"""The tables of the papers, as data: what `poseda reproduce` runs."""

from poseda.tables import adaptpose, open, poseda
from poseda.tables.data import OPEN, PAIRS, PREPARED, Pair, how_to_make
from poseda.tables.table import Column, Line, Table

__all__ = [
    "CANNOT",
    "OPEN",
    "PAIRS",
    "PREPARED",
    "TABLES",
    "Column",
    "Line",
    "Pair",
    "Table",
    "how_to_make",
]

#: by name
TABLES: dict[str, Table] = {
    table.name: table for table in (*poseda.TABLES, *adaptpose.TABLES, *open.TABLES)
}
#: tables of the papers that are not there, and why
CANNOT = {
    "AdaptPose, Table 9": "needs a 2D detector (AlphaPose) run over MPI-INF-3DHP's images",
}
