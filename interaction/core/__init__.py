"""Every decision about a task, a session or a lease: events in, decisions out.

No I/O in here, no grpc, no asyncio, no clock: `now` is an argument, a reading of a monotonic clock in seconds.
"""
