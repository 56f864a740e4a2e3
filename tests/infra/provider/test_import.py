"""`pulumi import` takes over a key that somebody else made, if it is as strong as one of ours."""

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism
from pkcs11.util.ec import encode_named_curve_parameters
from support.deployment import inventory, openbao_of, resources, states
from support.project import Project

_URI = "pkcs11:token=keyrung;object={}"


def _import(project: Project, name: str, resource_id: str) -> tuple[int, str]:
    done = project.pulumi(
        "import",
        "keyrung:index:Key",
        name,
        resource_id,
        "--yes",
        "--skip-preview",
        "--generate-code=false",
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stdout + done.stderr


def _generate(project: Project, label: str, **changed: bool) -> None:
    """Generate a key as an administrator's own program would; only signing unless ``changed`` says otherwise."""
    softhsm = project.stack.layout.softhsm
    token = pkcs11.lib(softhsm.module.read_text().strip()).get_token(token_label="keyrung")
    parameters = encode_named_curve_parameters("secp256r1")
    private = {
        "SENSITIVE": True,
        "EXTRACTABLE": False,
        "SIGN": True,
        "DECRYPT": False,
        "UNWRAP": False,
        "DERIVE": False,
    }
    with token.open(rw=True, user_pin=softhsm.pin.read_text().strip()) as session:
        session.create_domain_parameters(KeyType.EC, {Attribute.EC_PARAMS: parameters}, local=True).generate_keypair(
            mechanism=Mechanism.EC_KEY_PAIR_GEN,
            store=True,
            id=label.encode(),
            label=label,
            private_template={Attribute[name]: value for name, value in (private | changed).items()},
            public_template={Attribute.VERIFY: True},
        )


def test_a_strong_key_is_taken_over_and_a_weak_one_is_refused_without_a_trace(pulumi_project: Project) -> None:
    project = pulumi_project
    for label, wrong in {"weak": {"EXTRACTABLE": True}, "broad": {"DECRYPT": True}}.items():
        _generate(project, label, **wrong)
        code, text = _import(project, label, f"assertion-signing@{_URI.format(label)}")
        assert code != 0
        assert f"is weaker than declared in CKA_{next(iter(wrong))}" in text

    client = openbao_of(project).client("deployer")
    client.call("POST", "sys/mounts/keyrung", {"type": "transit"})
    client.call("POST", "keyrung/keys/audit-signing-old", {"type": "ecdsa-p256"})
    for resource_id, reason in {
        "assertion-signing@transit:mount=keyrung;name=none": "the vault holds no",
        "credential-seed@transit:mount=keyrung;name=audit-signing-old": "cannot be P-256",
        "user-credential@transit:mount=keyrung;name=audit-signing-old": "write it as PURPOSE@URI",
        "transit:mount=keyrung;name=audit-signing-old": "write it as PURPOSE@URI",
    }.items():
        code, text = _import(project, "refused", resource_id)
        assert code != 0
        assert reason in text
    assert inventory(project).rows() == []
    assert resources(project) == {}

    _generate(project, "strong")
    for name, purpose, uri in (
        ("strong", "assertion-signing", _URI.format("strong")),
        ("old", "audit-signing", "transit:mount=keyrung;name=audit-signing-old"),
    ):
        code, text = _import(project, name, f"{purpose}@{uri}")
        assert code == 0, text
        taken = resources(project)[name]
        assert taken["protect"]
        assert taken["inputs"]["deletionProtection"]
        assert (taken["outputs"]["uri"], taken["outputs"]["state"]) == (uri, "active")
    assert set(states(project).values()) == {"active"}
    assert [event.event for _, event in inventory(project).events()] == [
        *("key.claimed", "key.adopted", "key.activated"),
        *("key.claimed", "key.adopted", "key.activated"),
    ]
