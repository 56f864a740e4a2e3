"""The plugin process: the provider behind gRPC, with errors as one clear sentence.

The SDK's own `main` answers a failed operation with a traceback. Here an interceptor answers with the sentence of our
error families, and with a generic one for everything else, so that no internal value can leak into the engine's log.
"""

import argparse
import asyncio
import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
from pulumi.provider.experimental.server import ProviderServicer
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import provider_pb2_grpc

from keyrung_infra.errors import InfraError
from keyrung_infra.generation_setting import with_setting
from keyrung_infra.project import find_root
from keyrung_infra.provider.backends import Backends
from keyrung_infra.provider.engine import Engine
from keyrung_infra.provider.provider import VERSION, KeyrungProvider
from keyrung_policies.errors import PolicyError
from keyrung_provisioners.errors import ProvisionerError

_KNOWN = (InfraError, ProvisionerError, PolicyError)


class _ErrorsAsSentences(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc publishes no types
    """Turns exceptions into a status with one sentence."""

    async def intercept_service(self, continuation: Callable[..., Awaitable[Any]], details: Any) -> Any:
        """Wrap the handler that serves this call."""
        handler = await continuation(details)
        if handler is None or handler.unary_unary is None:
            return handler
        inner = handler.unary_unary

        async def guarded(request: Any, context: Any) -> Any:
            try:
                return await inner(request, context)
            except (grpc.aio.AbortError, NotImplementedError):
                raise
            except Exception as error:
                await context.abort(*_status(error))

        return grpc.unary_unary_rpc_method_handler(
            guarded, request_deserializer=handler.request_deserializer, response_serializer=handler.response_serializer
        )


def _status(error: BaseException) -> tuple[grpc.StatusCode, str]:
    """Return the gRPC status for ``error``; the SDK wraps what we raise, so its context is searched."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, _KNOWN):
            return grpc.StatusCode.FAILED_PRECONDITION, with_setting(str(cause))
        last, cause = cause, cause.__cause__ or cause.__context__
    where = traceback.extract_tb(last.__traceback__)[-1] if last.__traceback__ else None
    place = f" at {where.name}, line {where.lineno}" if where else ""
    return (
        grpc.StatusCode.INTERNAL,
        f"the provider failed unexpectedly ({type(last).__name__}{place}); please report it",
    )


def serve(engine_address: str, provider: KeyrungProvider) -> None:
    """Serve ``provider`` on a free loopback port, print the port, and go on until the engine ends it."""

    async def run() -> None:
        server = grpc.aio.server(options=_GRPC_CHANNEL_OPTIONS, interceptors=[_ErrorsAsSentences()])
        servicer = ProviderServicer([], VERSION, provider, engine_address=engine_address)
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
        await server.wait_for_termination()

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        return


def main(reached: Callable[[str], None] | None = None) -> None:
    """Run the plugin; ``reached`` is told of each step of a key's life, before the engine is looked for once more."""
    parser = argparse.ArgumentParser(prog="pulumi-resource-keyrung")
    parser.add_argument("engine", help="address of the Pulumi engine")
    arguments, _ = parser.parse_known_args()
    try:
        engine, root = Engine(arguments.engine), find_root()
    except InfraError as error:
        parser.error(str(error))
    engine.watch()

    def step(point: str) -> None:
        if reached is not None:
            reached(point)
        engine.check()

    serve(arguments.engine, KeyrungProvider(Backends(root, reached=step), engine))
