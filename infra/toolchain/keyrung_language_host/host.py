"""The Python language host for a Pulumi CLI that was built from Go modules.

The official distribution brings its own host and uses none of this. The Go modules have no host for Python, but
they have the two scripts that such a host starts, so what is left is a small gRPC server: the engine asks it to run
the program, or a plugin written in Python, and it starts that with the interpreter of the project's virtual
environment. Like every Pulumi plugin it prints its port first.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import grpc
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import language_pb2 as pb
from pulumi.runtime.proto import language_pb2_grpc, plugin_pb2

from .children import Children, pump

SHOWED_MESSAGE_EXIT_CODE = 32
"""The exec script ends with this after it has shown the user what is wrong; the engine then adds nothing."""

PARENT_POLL_SECONDS = 1.0
WORKERS = 16
"""A program and its plugins each hold one worker while they run; a stack of ours has fewer than five."""

UNLIMITED_MESSAGES = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class InterpreterMissingError(Exception):
    """The virtual environment that Pulumi.yaml names has no interpreter."""


def interpreter(info: pb.ProgramInfo) -> str:
    """The interpreter of the environment that `runtime.options.virtualenv` names, else this process's own."""
    options = info.options.fields
    if "virtualenv" not in options:
        return sys.executable
    path = Path(info.root_directory, options["virtualenv"].string_value, "bin", "python")
    if not path.exists():
        raise InterpreterMissingError(f"Pulumi.yaml names a virtual environment without {path}: run `make setup`.")
    return str(path)


def environment(python: str, changes: dict[str, str]) -> dict[str, str]:
    """The environment of a child: ours, the virtual environment's bin folder first on PATH, and `changes`."""
    result = {name: value for name, value in os.environ.items() if name != "PYTHONHOME"}
    folder = str(Path(python).parent)
    result["PATH"] = os.pathsep.join([folder, result.get("PATH", os.defpath)])
    result["VIRTUAL_ENV"] = str(Path(folder).parent)
    return result | changes


def program_path(info: pb.ProgramInfo) -> str:
    """The folder or file to run."""
    return os.path.normpath(Path(info.program_directory, info.entry_point or "."))


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """Answers the calls that the engine makes to run a program; what it does not know is UNIMPLEMENTED."""

    def __init__(self, exec_script: str, engine_address: str) -> None:
        self._exec_script = exec_script
        self._engine_address = engine_address
        self._programs = Children()
        self._plugins = Children()

    def Handshake(  # noqa: N802 - the names of the calls are the protocol's
        self, request: pb.LanguageHandshakeRequest, context: grpc.ServicerContext
    ) -> pb.LanguageHandshakeResponse:
        """Keep the address at which the engine takes log messages."""
        self._engine_address = request.engine_address or self._engine_address
        return pb.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:  # noqa: N802
        """Answer the version of the SDK that this host speaks for."""
        return plugin_pb2.PluginInfo(version=metadata.version("pulumi"))

    def GetRequiredPackages(  # noqa: N802
        self, request: pb.GetRequiredPackagesRequest, context: grpc.ServicerContext
    ) -> pb.GetRequiredPackagesResponse:
        """Answer none: the only provider is named by its path in Pulumi.yaml, so nothing is to be downloaded."""
        return pb.GetRequiredPackagesResponse()

    def Run(self, request: pb.RunRequest, context: grpc.ServicerContext) -> pb.RunResponse:  # noqa: N802
        """Run the program to its end."""
        try:
            python = interpreter(request.info)
        except InterpreterMissingError as error:
            return pb.RunResponse(error=str(error))
        config = {
            "PULUMI_CONFIG": json.dumps(dict(request.config)),
            "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
        }
        child = self._programs.start(
            [python, "-u", self._exec_script, *self._program_arguments(request)],
            cwd=request.pwd or request.info.program_directory,
            env=environment(python, config),
        )
        code = self._programs.wait(child)
        if code == 0:
            return pb.RunResponse()
        if code == SHOWED_MESSAGE_EXIT_CODE or self._programs.stopping:
            return pb.RunResponse(bail=True)
        return pb.RunResponse(error=f"Program exited with non-zero exit code: {code}")

    def _program_arguments(self, request: pb.RunRequest) -> list[str]:
        options = {
            "monitor": request.monitor_address,
            "engine": self._engine_address,
            "project": request.project,
            "root_directory": request.info.root_directory,
            "stack": request.stack,
            "organization": request.organization,
            "pwd": request.pwd,
            "parallel": str(request.parallel),
            "dry_run": "true" if request.dryRun else "",
        }
        flags = [text for name, value in options.items() if value for text in (f"--{name}", value)]
        return [*flags, program_path(request.info), *request.args]

    def RunPlugin(  # noqa: N802
        self, request: pb.RunPluginRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.RunPluginResponse]:
        """Run a plugin written in Python and pass on what it prints, then its exit code."""
        try:
            python = interpreter(request.info)
        except InterpreterMissingError as error:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        changes = dict(text.split("=", 1) for text in request.env if "=" in text)
        child = self._plugins.start(
            [python, "-u", program_path(request.info), *request.args],
            cwd=request.pwd,
            env=environment(python, changes),
            captured=True,
        )
        context.add_callback(lambda: self._plugins.stop(child))
        for name, data in pump(child):
            yield pb.RunPluginResponse(stdout=data) if name == "stdout" else pb.RunPluginResponse(stderr=data)
        yield pb.RunPluginResponse(exitcode=self._plugins.wait(child))

    def InstallDependencies(  # noqa: N802
        self, request: pb.InstallDependenciesRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.InstallDependenciesResponse]:
        """Install nothing: the environment is made from the hashed lock by `make setup`."""
        yield pb.InstallDependenciesResponse(stdout=b"Python dependencies are installed by `make setup`.\n")

    def About(self, request: pb.AboutRequest, context: grpc.ServicerContext) -> pb.AboutResponse:  # noqa: N802
        """Answer which interpreter runs programs."""
        return pb.AboutResponse(executable=sys.executable, version=platform.python_version())

    def GetProgramDependencies(  # noqa: N802
        self, request: pb.GetProgramDependenciesRequest, context: grpc.ServicerContext
    ) -> pb.GetProgramDependenciesResponse:
        """Answer what is installed beside this host, for `pulumi about`."""
        installed = sorted({(item.name, item.version) for item in metadata.distributions()})
        return pb.GetProgramDependenciesResponse(
            dependencies=[pb.DependencyInfo(name=name, version=version) for name, version in installed]
        )

    def Cancel(self, request: Empty, context: grpc.ServicerContext) -> Empty:  # noqa: N802
        """Stop the running program; plugins get their own cancellation from the engine."""
        self._programs.stop_all()
        return Empty()

    def stop_all(self) -> None:
        """Stop everything that was started here."""
        self._programs.stop_all()
        self._plugins.stop_all()


def wait_for_end(host: LanguageHost) -> None:
    """Return at SIGINT or SIGTERM, or when the engine that started us is gone."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    parent = os.getppid()
    while not ended.wait(PARENT_POLL_SECONDS) and os.getppid() == parent:
        pass
    host.stop_all()


def main(arguments: list[str]) -> None:
    """Serve on a free loopback port until the engine is done with us."""
    exec_script, *rest = arguments
    host = LanguageHost(exec_script, rest[-1] if rest else "")
    server = grpc.server(ThreadPoolExecutor(max_workers=WORKERS), options=UNLIMITED_MESSAGES)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    wait_for_end(host)
    server.stop(grace=None)
