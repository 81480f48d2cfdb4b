"""Registered models, versions and aliases through the SDK, as a bundle and the addon use them."""

from __future__ import annotations

import uuid

import pytest
from databricks.sdk.errors import (
    BadRequest,
    NotFound,
    PermissionDenied,
    ResourceAlreadyExists,
    ResourceConflict,
)
from databricks.sdk.service.catalog import ModelVersionInfoStatus
from test_mlflow import environment, experiment_of, session


@pytest.fixture
def name(target):
    full_name = f"{target.catalog}.{target.schema}.sdk_{uuid.uuid4().hex[:8]}"
    yield full_name
    try:
        target.sdk().registered_models.delete(full_name)
    except NotFound:
        return  # the test has deleted it


def create(client, full_name: str, comment: str | None = None):
    catalog, schema, short = full_name.split(".")
    return client.registered_models.create(
        catalog_name=catalog, schema_name=schema, name=short, comment=comment
    )


def test_a_model_as_a_bundle_deploys_it(target, name):
    client = target.sdk()
    made = create(client, name, "nature of payment")
    assert (made.full_name, made.comment) == (name, "nature of payment")
    assert made.created_at > 0 and made.owner
    with pytest.raises((ResourceAlreadyExists, ResourceConflict, BadRequest)):
        create(client, name)
    assert client.registered_models.update(name, comment="changed").comment == "changed"
    assert client.registered_models.get(name).comment == "changed"
    catalog, schema, _ = name.split(".")
    in_schema = client.registered_models.list(catalog_name=catalog, schema_name=schema)
    assert name in [model.full_name for model in in_schema]
    assert name in [model.full_name for model in client.registered_models.list(max_results=1)]
    assert list(client.model_versions.list(name)) == []
    client.registered_models.delete(name)
    with pytest.raises(NotFound):
        client.registered_models.get(name)
    with pytest.raises(NotFound):
        client.registered_models.delete(name)


def test_a_schema_that_does_not_exist(target):
    with pytest.raises(NotFound):
        create(target.sdk(), f"{target.catalog}.no_such_schema_{uuid.uuid4().hex[:8]}.m")
    with pytest.raises((PermissionDenied, NotFound, BadRequest)):
        create(target.sdk(), f"system.billing.m_{uuid.uuid4().hex[:8]}")


def test_versions_and_aliases(target, name):
    """The MLflow client writes the versions; the SDK sees the same registry."""
    client = target.sdk()
    values = environment(target, "unity") | {"KEEP": "1"}
    experiment = experiment_of(target)
    for number in ("1", "2"):
        assert session(values, name, experiment)["made"]["version"] == number
    found = sorted(client.model_versions.list(name, max_results=1), key=lambda v: v.version)
    assert [version.version for version in found] == [1, 2]
    assert {version.status for version in found} == {ModelVersionInfoStatus.READY}
    assert found[0].run_id and found[0].run_id != found[1].run_id
    assert client.model_versions.get_by_alias(name, "champion").version == 2

    alias = client.registered_models.set_alias(name, "champion", 1)
    assert (alias.alias_name, alias.version_num) == ("champion", 1)
    client.registered_models.set_alias(name, "challenger", 2)
    aliases = client.registered_models.get(name, include_aliases=True).aliases
    assert {a.alias_name: a.version_num for a in aliases} == {"champion": 1, "challenger": 2}
    one = client.model_versions.get(name, 1, include_aliases=True)
    assert [a.alias_name for a in one.aliases] == ["champion"]
    assert client.model_versions.update(name, 1, comment="kept").comment == "kept"

    client.registered_models.delete_alias(name, "challenger")
    with pytest.raises(NotFound):
        client.model_versions.get_by_alias(name, "challenger")
    with pytest.raises(NotFound):
        client.registered_models.set_alias(name, "champion", 99)
    client.model_versions.delete(name, 2)
    with pytest.raises(NotFound):
        client.model_versions.get(name, 2)
    assert [version.version for version in client.model_versions.list(name)] == [1]
