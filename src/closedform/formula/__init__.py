"""The language: a layer as one line of index notation, and all that follows from the line alone.

- `subscripts`, `tree`: what a formula is made of; `notation`: tree to text and LaTeX
- `syntax`: text to tree
- `extents`: sizes, with the arithmetic behind them
- `evaluate`: values, by NumPy or in exact fractions
- `derive`: gradients, step by step
- `naming`: what a gradient is called
- `table`: loops and strides, for the engines
"""
