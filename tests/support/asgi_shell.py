"""The ASGI shell over a verifier of the tests, without a deployment around it."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

from keyrung_infra.serve.app import VerifierApp
from keyrung_infra.serve.build import Parts
from keyrung_infra.serve.turns import Turns
from keyrung_verifier.service import Verifier


def asgi_shell(verifier: Verifier, *, on_ready: Callable[[], None] = lambda: None) -> VerifierApp:
    """Return the application."""
    return VerifierApp(cast(Parts, SimpleNamespace(verifier=verifier, turns=Turns())), on_ready=on_ready)
