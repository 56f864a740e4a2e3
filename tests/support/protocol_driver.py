"""A verifier and the model of it side by side: whatever is sent to the one is judged by the other."""

import hashlib
import json
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

from hypothesis.stateful import RuleBasedStateMachine
from support.crashing_store import CrashingStore
from support.dpop import TOKEN_SHA256, DpopClient
from support.protocol_model import (
    AMR,
    RULES,
    STEP_SECONDS,
    Asked,
    Earned,
    Given,
    Holding,
    Model,
    Proved,
    Question,
    code_of,
    digest_of,
    policy_of,
    signed_text,
)
from support.verifier import (
    AUDIT_KEY,
    ORIGIN,
    POLICY_KEY,
    START,
    TOKEN_FACTOR,
    Answer,
    SettableClock,
    Totp,
    UnsafeTestKey,
    World,
    b64,
    challenge_body,
    unb64,
)

from keyrung_audit import public_key_from_jwk, verify
from keyrung_policies.bundle import build_payload, policy_digest, sign_bundle
from keyrung_verifier.generations import Generation, SigningLine
from keyrung_verifier.limits import MAX_CREDENTIALS_PER_FACTOR
from keyrung_verifier.protocols import Signer
from keyrung_verifier.store.protocol import (
    AdvanceCounter,
    ClearFailures,
    ConsumeChallenge,
    ConsumeOnce,
    CountFailure,
    CountWrongAnswer,
    ForgetFailures,
    SpendCounted,
    Write,
)

SUBJECTS = ["alice", "bob"]
CLIENT_KEY = UnsafeTestKey("dpop-client").key_id


class ProtocolDriver(RuleBasedStateMachine):
    """What the rules of the machine are made of; each call compares the verifier's answer with the model's."""

    def set_up(self) -> None:
        """Begin with two subjects who hold both factors."""
        self.folder = Path(tempfile.mkdtemp())
        self.clock = SettableClock()
        self.model = Model(now=self.seconds())
        self.keys = [UnsafeTestKey("assertion")]
        self.line = SigningLine([], clock=self.clock)
        self.renew_line()
        self.tokens = self.versions = 0
        self.asked: list[Asked] = []
        self.given: list[Given] = []
        self.earned: list[Earned] = []
        self.deploy_policy()
        self.world = self.open_world()
        for subject in SUBJECTS:
            for factor in ("otp", TOKEN_FACTOR):
                self.enrol_another(subject, factor)

    def tear_down(self) -> None:
        """End in order; the independent reader must find the log whole."""
        self.store.crash = None
        self.world.verifier.stop()
        report = verify(
            self.world.lines(),
            self.world.checkpoint_path.read_bytes().splitlines(),
            [public_key_from_jwk(AUDIT_KEY.public_jwk)],
        )
        self.world.close()
        shutil.rmtree(self.folder)
        assert report.ok, report

    def have_asked(self, question: Question) -> Asked | None:
        held = self.model.held(question["subject"]) & RULES[question["action"]].levels.keys()
        armed = self.store.crash is not None
        answer = self.world.challenge(**question)
        assert answer.status == (201 if held else 403) or (armed and answer.status == 503), answer.body
        if answer.status != 201:
            return None
        asked = Asked(
            **question,
            challenge_id=answer.body["challenge_id"],
            policy=self.model.policy,
            made_at=self.model.now,
            factors=held,
        )
        self.asked.append(asked)
        return asked

    def make_answer(self, asked: Asked, factor: str) -> Given | None:
        held = [
            one for one in self.model.holdings if one.living and (one.subject, one.factor) == (asked.subject, factor)
        ]
        if not held:
            return None
        holding, step = held[-1], None
        if isinstance(holding.secret, Totp):
            step = self.model.now // STEP_SECONDS
            self.model.shown_steps.add((asked.subject, step))
            body = {"factor": factor, "code": code_of(holding.secret.seed, step)}
        else:
            signature = b64(holding.secret.sign(signed_text(asked)))
            body = {"factor": factor, "credential_id": holding.credential_id, "origin": ORIGIN, "signature": signature}
        proof = None
        if asked.bound:
            proof = Proved(asked=asked, text=self.dpop.answer_proof(asked.challenge_id), at=self.model.now)
        given = Given(asked=asked, holding=holding, body=body, step=step, proof=proof)
        self.given.append(given)
        return given

    def send_answer(self, asked: Asked, given: Given) -> None:
        may, armed = self.model.may_earn(asked, given), self.store.crash is not None
        calm = not armed and not self.failed_lately(asked.subject, given.holding.factor)
        calm = calm and (given.proof is None or given.proof.at == self.model.now)
        path, marks = f"/stepup/v1/challenges/{asked.challenge_id}/response", self._used_proofs()
        answer = self.world.http("POST", path, given.body, dpop=None if given.proof is None else given.proof.text)
        if given.proof is not None and self._used_proofs() > marks:
            given.proof.used = True
        self._take_over_what_is_durable(asked)
        if answer.status != 200:
            assert answer.status in ({400, 403, 503} if armed else {400, 403}), answer.body
            assert not (may and calm), answer.body
            return
        assert may, answer.body
        asked.used = True
        if given.step is not None:
            self.model.last_step[asked.subject] = given.step
        self.earned.append(self._checked(asked, given, answer))

    def _checked(self, asked: Asked, given: Given, answer: Answer) -> Earned:
        """Return what was earned, after comparing every claim with what was done."""
        header, claims = (json.loads(unb64(part)) for part in answer.body["assertion"].split(".")[:2])
        factor, rule = given.holding.factor, RULES[asked.action]
        assert header == {"alg": "ES256", "kid": self.keys[-1].key_id, "typ": "stepup+jwt"}
        assert len(unb64(claims.pop("jti"))) == 16
        assert claims == {
            "iss": ORIGIN,
            "aud": asked.client.audience,
            "sub": asked.subject,
            "sid": asked.session["id"] if asked.bound else asked.session,
            **({"cnf": {"jkt": CLIENT_KEY}} if asked.bound else {}),
            "iat": self.model.now,
            "nbf": self.model.now,
            "auth_time": self.model.now,
            "exp": self.model.now + rule.ttl_seconds,
            "acr": rule.levels[factor],
            "amr": AMR[factor],
            "action": asked.action,
            "request_digest": digest_of(asked.request, rule.bind),
            "bind": list(rule.bind),
            "single_use": rule.uses == 1,
            **({} if rule.batch is None else {"batch": rule.batch}),
            "policy_digest": asked.policy,
        }
        text = answer.body["assertion"]
        return Earned(text=text, asked=asked, holding=given.holding, key=self.keys[-1], at=self.model.now)

    def send_spend(self, earned: Earned, question: Question) -> None:
        use = self.use_of(question)
        allowed, armed = self.model.may_spend(earned, question), self.store.crash is not None
        answer = self.post_spend(earned.text, question, use)
        counted = [write.key for write in self.durable() if isinstance(write, SpendCounted)]
        earned.spent = max(earned.spent + (answer.status == 200), counted.count(_jti_hash(earned.text)))
        if answer.status == 200:
            assert allowed, answer.body
        else:
            assert answer.status in ({403, 503} if armed else {403}), answer.body
            assert armed or not allowed, answer.body

    def use_of(self, question: Question) -> dict[str, str] | None:
        """Return what the session's client proves beside a request, where the session has a key."""
        if isinstance(question["session"], str):
            return None
        return self.dpop.use(
            self.dpop.proof(question["request"]["method"], question["request"]["uri"], ath=TOKEN_SHA256)
        )

    def post_spend(self, text: str, question: Question, use: dict[str, str] | None) -> Answer:
        asked = {name: question[name] for name in ("action", "subject", "session")}
        body = challenge_body(**asked, request=question["request"]) | {"assertion": text}
        body |= {} if use is None else {"dpop": use}
        return self.world.http("POST", "/stepup/v1/assertions/spend", body, client=question["client"])

    def _used_proofs(self) -> int:
        return sum(isinstance(write, ConsumeOnce) and write.kind == "dpop" for write in self.durable())

    def durable(self) -> tuple[Write, ...]:
        """Return every write that was ever committed, by this process or one before it."""
        return (*self.earlier, *self.store.durable)

    def _take_over_what_is_durable(self, asked: Asked) -> None:
        """Learn what a call did whose answer was lost."""
        challenge_hash = _hash(asked.challenge_id)
        for write in self.durable():
            if isinstance(write, ConsumeChallenge) and write.challenge_hash == challenge_hash:
                asked.used = True
            if isinstance(write, AdvanceCounter):
                subject = write.name.removeprefix("otp:")
                self.model.last_step[subject] = max(write.value, self.model.last_step.get(subject, -1))
        counted = [write for write in self.durable() if isinstance(write, CountWrongAnswer)]
        asked.wrong = sum(write.challenge_hash == challenge_hash for write in counted)

    def failed_lately(self, subject: str, factor: str) -> bool:
        rows = [write for write in self.durable() if isinstance(write, CountFailure | ClearFailures | ForgetFailures)]
        own = [write for write in rows if (write.subject_id, write.factor) == (subject, factor)]
        return bool(own) and isinstance(own[-1], CountFailure)

    # -- parts ----------------------------------------------------------------------------------------------------

    def set_clock_by(self, seconds: int) -> None:
        self.clock.advance(seconds)
        self.model.now = self.seconds()

    def seconds(self) -> int:
        return int(self.clock.now().timestamp())

    def open_world(self) -> World:
        self.earlier: tuple[Write, ...] = self.durable() if hasattr(self, "store") else ()
        self.store = CrashingStore(self.folder / "store.db")
        world = World(self.folder, clock=self.clock, signers=self.line, store=self.store)
        self.dpop = DpopClient(world)
        return world

    def enrol_another(self, subject: str, factor: str) -> None:
        held = [one for one in self.model.holdings if one.living and (one.subject, one.factor) == (subject, factor)]
        self.store.crash = None
        if len(held) == MAX_CREDENTIALS_PER_FACTOR:
            self.world.credentials.revoke(held[0].credential_id)
            held[0].living = False
        self.tokens += 1
        secret: Totp | UnsafeTestKey
        if factor == "otp":
            secret = self.world.enrol_totp(subject)
            credential_id = secret.credential_id
        else:
            secret = self.world.enrol_token(subject, name=f"token-{self.tokens}")
            credential_id = secret.key_id
        self.model.holdings.append(Holding(subject=subject, factor=factor, credential_id=credential_id, secret=secret))

    def end_key(self, key: UnsafeTestKey, state: str) -> None:
        if key.state != state:
            key.state = state
            self.hand_over(key, f"key.{state}")

    def hand_over(self, key: UnsafeTestKey, *events: str) -> None:
        self.store.crash = None
        for event in events:
            step = {"event": event, "event_id": f"{event}-{key.generation}", "purpose": "assertion-signing"}
            name = {"uri": key.key_uri, "generation": key.generation, "state": key.state, "thumbprint": key.key_id}
            self.world.audit.append_key_event({**step, "at": "2026-11-25T11:00:00.000000Z", "key": name})

    def renew_line(self) -> None:
        begin = START - timedelta(days=1)
        generations: list[Generation[Signer]] = [Generation(key=key, use_not_before=begin) for key in self.keys]
        self.line.renew(generations)

    def deploy_policy(self) -> None:
        self.versions += 1
        policy = policy_of(4 + self.versions % 2)
        self.model.policy = policy_digest(policy)
        payload = build_payload(
            policy,
            version=self.versions,
            not_before=START - timedelta(days=30),
            expires_at=START + timedelta(days=30),
        )
        bundle = sign_bundle(payload, key_id=POLICY_KEY.key_id, algorithm=POLICY_KEY.algorithm, sign=POLICY_KEY.sign)
        (self.folder / "next-bundle.json").write_bytes(bundle)
        (self.folder / "next-bundle.json").replace(self.folder / "policy-bundle.json")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _jti_hash(assertion: str) -> str:
    return _hash(json.loads(unb64(assertion.split(".")[1]))["jti"])
