"""The only rooms that import grpc or interaction.v1: the loop thread, transport, codec, and both services' two ends."""

import interaction.rpc.forks  # noqa: F401 - before anything else here imports grpc
