"""What tests of secrets share: two of them, signed calls by hand, and peers that sign their answers."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

import grpc

from interaction.core.signature import Call, Claim, Key, sign
from tests.contract.wire import CHANNEL_GIVEN, Metadata

SECRET, OTHER = "a-secret-that-both-sides-know-" + "1" * 10, "another-secret-of-somebody-else-" + "2" * 10
SLAVE, MASTER = "/interaction.v1.SlaveService/", "/interaction.v1.MasterService/"


def signed(
    path: str,
    token: str,
    slave: str = "",
    *,
    secret: str = SECRET,
    at: float | None = None,
    nonce: str | None = None,
    previous: str = "",
    **terms: Any,
) -> Metadata:
    """The metadata of a call that is signed. `terms` are `lease`, in nanoseconds, and `address`."""
    claim = Claim(int(time.time() if at is None else at), nonce or secrets.token_urlsafe(16), slave, **terms)
    call = Call(path, CHANNEL_GIVEN[1], token, previous)
    resumes = (("previous-token", previous),) if previous else ()
    return (CHANNEL_GIVEN, ("token", token), *resumes, ("signature", sign(Key(secret.encode()), call, claim)))


def answer_to(metadata: Any, secret: str = SECRET) -> str:
    """By which a server that knows the secret answers the call that brought that."""
    return Key(secret.encode()).answer(dict(metadata)["signature"].rpartition(";mac=")[2])


class Answering(grpc.ServerInterceptor):
    """Has a peer of a test sign its answers to calls that are signed: all of them, though it checks none."""

    def __init__(self, secret: str = SECRET) -> None:
        self._secret = secret

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Called by gRPC."""
        handler: Any = continuation(handler_call_details)
        if handler is None or "signature" not in dict(handler_call_details.invocation_metadata):
            return handler  # type: ignore[no-any-return]

        def signing(behave: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
            def behaves(request: Any, context: Any) -> Any:
                mac = answer_to(context.invocation_metadata(), self._secret)
                context.send_initial_metadata((("answer-signature", mac),))
                return behave(request, context)

            return behaves

        kind = "stream_stream" if handler.request_streaming else "unary_unary"
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        return make(signing(getattr(handler, kind)), handler.request_deserializer, handler.response_serializer)  # type: ignore[no-any-return]
