"""Answers for whoever plays the master by hand: acknowledges every beat, and prints every result.

    python examples/by_hand.py            # at 127.0.0.1:7235; another port may follow

A slave begins nothing of a session before its master has acknowledged a beat, which grpcurl can't do.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc

from interaction.v1 import master_service_pb2 as messages
from interaction.v1 import master_service_pb2_grpc as services


class ByHand(services.MasterServiceServicer):
    """Believes everybody: for trying things out on your own machine."""

    def Ping(  # noqa: N802 - gRPC's names, here and below
        self, request: messages.MasterServicePingRequest, context: grpc.ServicerContext
    ) -> messages.MasterServicePingResponse:
        """Say who is here."""
        return messages.MasterServicePingResponse(language="none")

    def Heartbeat(  # noqa: N802
        self, request_iterator: Iterator[messages.HeartbeatRequest], context: grpc.ServicerContext
    ) -> Iterator[messages.HeartbeatResponse]:
        """Acknowledge each beat."""
        for beat in request_iterator:
            yield messages.HeartbeatResponse(sequence=beat.sequence)

    def ReportResult(  # noqa: N802
        self, request: messages.ReportResultRequest, context: grpc.ServicerContext
    ) -> messages.ReportResultResponse:
        """Take a result."""
        print(request.result, flush=True)
        return messages.ReportResultResponse(acknowledgement=messages.RESULT_ACKNOWLEDGEMENT_RECORDED)


def main(port: str = "7235") -> None:
    """Serve until Ctrl-C."""
    server = grpc.server(ThreadPoolExecutor(8))
    services.add_MasterServiceServicer_to_server(ByHand(), server)
    print(f"listening on 127.0.0.1:{server.add_insecure_port(f'127.0.0.1:{port}')}", flush=True)
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main(*sys.argv[1:])
