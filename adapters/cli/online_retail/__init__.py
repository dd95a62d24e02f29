"""Replaying the UCI Online Retail data set: a year of a real shop, as input that no generator would make up.

Chen, D. (2015). Online Retail. UCI Machine Learning Repository. https://doi.org/10.24432/C5BW33 (CC BY 4.0).

`source` opens the file, `lines` reads it, `plan` decides what to record (with `prices` and `returns`), `replay` records
it through the engine, `report` says what became of every line.
"""
