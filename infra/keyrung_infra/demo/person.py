"""Alice: her authenticator app and her hardware token, which the story uses as she would.

Her secrets stand where the app and the token would hold them: below `.keyrung/demo/alice`, readable by her only.
"""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from secrets import token_bytes

import pyotp

from keyrung_infra.demo.programs import Programs
from keyrung_infra.errors import InfraError
from keyrung_infra.files import write_private
from keyrung_infra.local.folders import ensure_private
from keyrung_infra.local.layout import SoftHsmLayout
from keyrung_infra.local.softhsm import SoftHsm
from keyrung_infra.user_token import UserToken, open_user_token

SUBJECT = "alice"
_TOKEN_LABEL = "alice"  # noqa: S105 - a PKCS#11 label
_STEP_SECONDS = 30  # RFC 6238 section 4.1


class Alice:
    """One person with two credentials."""

    def __init__(self, folder: Path, module: Path) -> None:
        """Keep her things below ``folder``; her token is served by the PKCS#11 ``module``."""
        self._folder = folder
        self._layout = SoftHsmLayout(folder=folder / "token")
        self._module = module

    def enrol(self, programs: Programs) -> list[str]:
        """Have both credentials provisioned, unless they are; return the ids of the new ones."""
        ensure_private(self._folder.parent, self._folder)
        SoftHsm(self._layout, module=self._module, token_bytes=token_bytes, label=_TOKEN_LABEL).up()
        held = {each["credential_id"] for each in programs.keyrung("credential", "list", SUBJECT)["credentials"]}
        known = json.loads(self._enrolment.read_text()) if self._enrolment.is_file() else {}
        if known and set(known["credential_ids"]) <= held:
            return []
        totp = programs.keyrung("credential", "add", "totp", SUBJECT)
        token = programs.keyrung(
            *("credential", "add", "token", SUBJECT, "--token", _TOKEN_LABEL),
            *("--module", str(self._module), "--pin", f"file:{self._layout.pin}"),
            "--allow-software",  # her token is SoftHSM's
            environment={"SOFTHSM2_CONF": str(self._layout.config)},
        )
        ids = [totp["credential_id"], token["credential_id"]]
        document = {"credential_ids": ids, "otpauth_uri": totp["otpauth_uri"]}
        write_private(self._enrolment, json.dumps(document).encode())
        return ids

    def token(self) -> UserToken:
        """Return her token, plugged into this process."""
        os.environ["SOFTHSM2_CONF"] = str(self._layout.config)
        settings = {"pkcs11Module": str(self._module), "pkcs11Pin": f"file:{self._layout.pin}"}
        return open_user_token(_TOKEN_LABEL, settings, root=self._folder)

    def code(self, waiting: Callable[[int], None]) -> str:
        """Return the code her app shows, once it shows one that she has not used yet."""
        step = int(time.time()) // _STEP_SECONDS
        used = int(self._last_step.read_text()) if self._last_step.is_file() else 0
        if step <= used:
            seconds = (used + 1) * _STEP_SECONDS - time.time()
            waiting(int(seconds) + 1)
            time.sleep(max(0.0, seconds))
            step = used + 1
        write_private(self._last_step, str(step).encode())
        app = pyotp.parse_uri(json.loads(self._enrolment.read_text())["otpauth_uri"])
        if not isinstance(app, pyotp.TOTP):
            raise InfraError("Alice's app holds no TOTP seed", fix="remove .keyrung/demo and run the demo again")
        return app.at(step * _STEP_SECONDS)

    @property
    def _enrolment(self) -> Path:
        return self._folder / "app.json"

    @property
    def _last_step(self) -> Path:
        return self._folder / "last-step"
