"""The tables of a vector file; what each column means is in ../vectors/README.md."""

import numpy as np

SCHEMA = "exactsgd-vectors"
SCHEMA_VERSION = 2
NONE = 0xFFFFFFFF
"""In a column of rows: there is none."""
STORED, GENERATED, HASHED = range(3)

FIRST = {
    "problem": {"group_begin": "u4", "group_count": "u4", "steps": "u1", "flags": "u4"},
    "group": {"tensor_begin": "u4", "tensor_count": "u4", "lr": "f8", "momentum": "f8", "dampening": "f8", "weight_decay": "f8",
              "nesterov": "u1", "maximize": "u1"},
    "tensor": {"dtype": "u1", "numel": "u8", "param": "u4", "grad_begin": "u4"},
    "grad": {"array": "u4"},
    "case": {"problem": "u4", "path": "u1", "capability": "u1", "threads": "u1", "outcome_begin": "u4"},
    "outcome": {"param": "u4", "buffer": "u4", "grad": "u4"},
    "array": {"kind": "u1", "dtype": "u1", "numel": "u8", "where": "u8"},
}
"""The tables of version 1, their columns, and the columns' little-endian types."""

ADDED = {
    "problem": {"feature": ("u1", 0), "scaling_begin": ("u4", NONE)},
    "group": {"option_begin": ("u4", NONE), "lr_scalar": ("u4", NONE), "momentum_scalar": ("u4", NONE),
              "dampening_scalar": ("u4", NONE), "weight_decay_scalar": ("u4", NONE)},
    "tensor": {"layout": ("u4", NONE)},
    "grad": {"layout": ("u4", NONE), "sparse": ("u4", NONE)},
    "outcome": {"buffer_layout": ("u4", NONE), "buffer_sparse": ("u4", NONE), "grad_sparse": ("u4", NONE)},
}
"""The columns that version 2 added, and what a row has that says nothing of them, as every one of version 1."""

NEW = {
    "option": {"lr": "f8", "momentum": "f8", "dampening": "f8", "weight_decay": "f8", "nesterov": "u1", "maximize": "u1"},
    "scalar": {"dtype": "u1", "ndim": "u1", "requires_grad": "u1"},
    "scaling": {"has_grad_scale": "u1", "has_found_inf": "u1", "grad_scale": "f4", "found_inf": "f4"},
    "layout": {"dim_begin": "u4", "ndim": "u1", "offset": "u4"},
    "dim": {"size": "u8", "stride": "u8"},
    "sparse": {"layout": "u4", "sparse_dim": "u1", "coalesced": "u1", "nnz": "u8", "indices": "u4", "values": "u4"},
}
"""The tables that version 2 added."""

COLUMNS = {name: {**columns, **{added: kind for added, (kind, _) in ADDED.get(name, {}).items()}} for name, columns in FIRST.items()} | NEW
"""All tables of version 2."""


class Table:
    """Rows of one table."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.defaults = {column: default for column, (_, default) in ADDED.get(name, {}).items()}
        self.rows: list[tuple] = []

    def add(self, **values) -> int:
        """Appends a row, all columns of version 1 given by name; returns its number."""
        row = {**self.defaults, **values}
        self.rows.append(tuple(row[column] for column in COLUMNS[self.name]))
        if len(row) != len(COLUMNS[self.name]):
            raise TypeError(f"table {self.name} has no such columns: {row.keys() - COLUMNS[self.name].keys()}")
        return len(self.rows) - 1

    def columns(self) -> dict[str, np.ndarray]:
        """Each column as an array of shape (rows,)."""
        types = COLUMNS[self.name]
        by_column = zip(*self.rows, strict=True) if self.rows else [()] * len(types)
        return {name: np.array(values, f"<{kind}") for (name, kind), values in zip(types.items(), by_column, strict=True)}
