"""The bank itself, plain Starlette: it knows nothing of step-up, since nothing reaches it that may not pass."""

from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from keyrung_verifier.guard.asgi import Action, GuardedRequest

# Longest payee that the policy's display takes; the catalogue declares the same length.
MAX_PAYEE_CHARS = 70

_ACCOUNTS = [{"id": "1", "owner": "alice", "currency": "EUR", "balance_minor": 1_250_000}]
_CUSTOMERS = [{"id": "1", "name": "Alice"}, {"id": "2", "name": "Bob"}]


def transfer_attributes(request: GuardedRequest) -> Mapping[str, str | int]:
    """Return what the policy looks at in a transfer; a body of another form raises ValueError."""
    body = request.json()
    if body.keys() != {"amount_minor", "currency", "payee"}:
        raise ValueError("a transfer has exactly amount_minor, currency and payee")
    amount_minor, currency, payee = body["amount_minor"], body["currency"], body["payee"]
    if type(amount_minor) is not int or amount_minor <= 0:
        raise ValueError("amount_minor is a positive number of minor units")
    if not isinstance(currency, str) or not isinstance(payee, str) or not 0 < len(payee) <= MAX_PAYEE_CHARS:
        raise ValueError("currency and payee are texts")
    return {"amount_minor": amount_minor, "currency": currency, "payee": payee}


# What each route does, in the policy's words. A route that is missing here is refused.
ROUTES = {
    "GET /accounts": Action(name="accounts.read"),
    "POST /profile": Action(name="profile.update"),
    "POST /transfers": Action(name="payments.transfer", resource=transfer_attributes),
    "GET /customers/export": Action(name="customers.export"),
}


async def _accounts(_request: Request) -> Response:
    return JSONResponse({"accounts": _ACCOUNTS})


async def _profile(request: Request) -> Response:
    return JSONResponse({"updated": True, "bytes": len(await request.body())})


async def _transfers(request: Request) -> Response:
    return JSONResponse({"transferred": await request.json()}, status_code=201)


async def _export(_request: Request) -> Response:
    return JSONResponse({"customers": _CUSTOMERS})


def bank() -> Starlette:
    """Return the application without a guard."""
    return Starlette(
        routes=[
            Route("/accounts", _accounts, methods=["GET"]),
            Route("/profile", _profile, methods=["POST"]),
            Route("/transfers", _transfers, methods=["POST"]),
            Route("/customers/export", _export, methods=["GET"]),
        ]
    )
