"""The self-test `scalecommerce torture`: runs an engine under load, kills its processes, then checks its data.

run                  from start to report
engine_under_test    the processes and servers under test
chaos                which processes are killed, and when
messages             duplicate, reordered and malformed messages to the worker
client               an HTTP client that distinguishes final answers from unknown outcomes
shoppers             buyers and sellers
receiver             a seller's server for webhooks
client_log           the answers that buyers and sellers got
monitor              checks of the database during the test, and recovery times
policies             pricing policies during the test, and their invariants
invariants           what must hold at the end, in SQL that is independent of the engine
"""
