"""An inverted index of products in memory: it ranks, counts and lists the matches of a search without SQL.

A `ProductIndex` consists of segments (as in Lucene): each has posting lists of its lexemes and columns of its products,
as numpy arrays. A changed product is marked as deleted in its segment and added in a new one.
"""
