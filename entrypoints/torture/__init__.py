"""The self-test `scalecommerce torture`: an engine of its own is put under load and killed, then its books are read.

run          from start to report
site         the processes and servers under test
chaos        which of them are killed, and when
messages     duplicate, reordered and broken messages to the worker
client       HTTP that knows when it does not know what became of a request
shoppers     buyers and sellers
receiver     a seller's server for webhooks
heard        what they were told
watching     looks at the database while the test runs: what must hold at every instant, how long settling takes
books        what must hold in the end, in SQL of its own
"""
