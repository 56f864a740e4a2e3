"""IAM: roles and their policies."""

from typing import Any

from support.aws_plugin.resource import Aws, Plain, Resource, given, names, tag_list


def _create_role(aws: Aws, inputs: Plain) -> str:
    aws.client("iam").create_role(
        RoleName=inputs["name"],
        AssumeRolePolicyDocument=inputs["assumeRolePolicy"],
        Tags=tag_list(inputs),
        **given(inputs, Description="description", MaxSessionDuration="maxSessionDuration"),
    )
    return str(inputs["name"])


def _read_role(aws: Aws, name: str, state: Plain) -> dict[str, Any] | None:
    try:
        found = aws.client("iam").get_role(RoleName=name)["Role"]
    except aws.client("iam").exceptions.NoSuchEntityException:
        return None
    return {"arn": found["Arn"], "uniqueId": found["RoleId"], "tagsAll": state.get("tags", {})}


def _update_role(aws: Aws, name: str, _old: Plain, new: Plain) -> None:
    aws.client("iam").update_assume_role_policy(RoleName=name, PolicyDocument=new["assumeRolePolicy"])


def _delete_role(aws: Aws, name: str, _state: Plain) -> None:
    if _read_role(aws, name, {}) is not None:
        aws.client("iam").delete_role(RoleName=name)


def _put_policy(aws: Aws, inputs: Plain) -> str:
    aws.client("iam").put_role_policy(
        RoleName=inputs["role"], PolicyName=inputs["name"], PolicyDocument=inputs["policy"]
    )
    return f"{inputs['role']}:{inputs['name']}"


def _read_policy(aws: Aws, resource_id: str, _state: Plain) -> dict[str, Any] | None:
    role, _, name = resource_id.partition(":")
    try:
        aws.client("iam").get_role_policy(RoleName=role, PolicyName=name)
    except aws.client("iam").exceptions.NoSuchEntityException:
        return None
    return {}


def _delete_policy(aws: Aws, resource_id: str, _state: Plain) -> None:
    role, _, name = resource_id.partition(":")
    if _read_policy(aws, resource_id, {}) is not None:
        aws.client("iam").delete_role_policy(RoleName=role, PolicyName=name)


def _change_policy(aws: Aws, _resource_id: str, _old: Plain, new: Plain) -> None:
    _put_policy(aws, new)


RESOURCES = (
    Resource(
        token="aws:iam/role:Role",
        create=_create_role,
        read=_read_role,
        update=_update_role,
        delete=_delete_role,
        inputs=names("name assumeRolePolicy description maxSessionDuration tags"),
        replaces=names("name description maxSessionDuration tags"),
        named="name",
    ),
    Resource(
        token="aws:iam/rolePolicy:RolePolicy",
        create=_put_policy,
        read=_read_policy,
        update=_change_policy,
        delete=_delete_policy,
        inputs=names("name role policy"),
        replaces=names("name role"),
        named="name",
    ),
)
