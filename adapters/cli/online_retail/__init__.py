"""Import of the UCI Online Retail data set: one year of orders of a real shop.

Chen, D. (2015). Online Retail. UCI Machine Learning Repository. https://doi.org/10.24432/C5BW33 (CC BY 4.0).

`source` opens the file, `lines` parses it, `plan` computes the records (with `prices` and `returns`), `replay` records
them through the engine, and `report` accounts for every line.
"""
