"""Engines, which run formulas and networks on the same stride tables; `reference` does so by NumPy."""
