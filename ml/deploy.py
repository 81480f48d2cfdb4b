"""python -m ml.deploy: serves the champion of nature of payment. Prints one JSON line.

Run again with the champion already serving, it changes nothing. DATABRICKS_HOST and
DATABRICKS_TOKEN name the workspace.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from datetime import timedelta

from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import DatabricksError, NotFound, OperationFailed
from databricks.sdk.service.serving import (
    EndpointCoreConfigInput,
    EndpointStateConfigUpdate,
    EndpointStateReady,
    Route,
    ServedEntityInput,
    ServingEndpointDetailed,
    TrafficConfig,
)

ENDPOINT = "nature-of-payment"
MODEL = "ml.nature_of_payment"


class DeployError(RuntimeError):
    """The champion does not serve; the text says why."""


def deploy(
    client: WorkspaceClient,
    model: str,
    number: str,
    *,
    endpoint: str = ENDPOINT,
    seconds: float = 600,
    scale_to_zero: bool = False,
) -> dict:
    """Creates or updates the endpoint so that it serves version `number` alone; waits for it.

    Returns {endpoint, model, version, served_entity, change: created|updated|none, seconds}.
    Raises DeployError past `seconds` or when the workspace says that the update failed.
    """
    started = time.monotonic()
    entity = f"{model.rsplit('.', 1)[-1]}-{number}"
    served = ServedEntityInput(
        name=entity,
        entity_name=model,
        entity_version=number,
        workload_size="Small",
        scale_to_zero_enabled=scale_to_zero,
    )
    route = Route(served_entity_name=entity, served_model_name=entity, traffic_percentage=100)
    traffic = TrafficConfig(routes=[route])
    try:
        present = client.serving_endpoints.get(endpoint)
        if present.state.config_update is EndpointStateConfigUpdate.IN_PROGRESS:
            present = client.serving_endpoints.wait_get_serving_endpoint_not_updating(
                endpoint, timedelta(seconds=seconds)
            )
    except NotFound:
        present = None
    except OperationFailed:
        # An earlier update failed; ours replaces it.
        present = client.serving_endpoints.get(endpoint)
    except TimeoutError as error:
        raise DeployError(f"{endpoint}: an update under way did not end: {error}") from error
    change = "none"
    try:
        if present is None:
            change = "created"
            config = EndpointCoreConfigInput(
                name=endpoint, served_entities=[served], traffic_config=traffic
            )
            client.serving_endpoints.create_and_wait(
                endpoint, config=config, timeout=timedelta(seconds=seconds)
            )
        elif not _serves(present, model, number, entity):
            change = "updated"
            client.serving_endpoints.update_config_and_wait(
                endpoint,
                served_entities=[served],
                traffic_config=traffic,
                timeout=timedelta(seconds=seconds),
            )
    except OperationFailed as error:
        raise DeployError(f"{endpoint}: {_failure(client, endpoint, error)}") from error
    except TimeoutError as error:
        raise DeployError(f"{endpoint}: not ready after {seconds:.0f} s: {error}") from error
    if not _serves(client.serving_endpoints.get(endpoint), model, number, entity):
        raise DeployError(f"{endpoint} does not serve {entity} after the update")
    return {
        "endpoint": endpoint,
        "model": model,
        "version": number,
        "served_entity": entity,
        "change": change,
        "seconds": round(time.monotonic() - started, 1),
    }


def _serves(present: ServingEndpointDetailed, model: str, number: str, entity: str) -> bool:
    """Whether the endpoint is ready with exactly this version."""
    entities = (present.config and present.config.served_entities) or []
    found = [(e.name, e.entity_name, e.entity_version) for e in entities]
    ready = present.state.ready is EndpointStateReady.READY
    return ready and found == [(entity, model, number)]


def _failure(client: WorkspaceClient, endpoint: str, error: Exception) -> str:
    """What the workspace says about the entities that did not start."""
    present = client.serving_endpoints.get(endpoint)
    config = present.pending_config or present.config
    texts = [
        entity.state.deployment_state_message
        for entity in (config and config.served_entities) or []
        if entity.state and entity.state.deployment_state_message
    ]
    return "; ".join(texts) or str(error)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="deploy", description=__doc__)
    parser.add_argument("--catalog", default="main")
    parser.add_argument("--endpoint", default=ENDPOINT)
    parser.add_argument("--seconds", type=float, default=600, help="deadline")
    parser.add_argument("--scale-to-zero", action="store_true")
    args = parser.parse_args(argv)
    from .registry import champion_version

    model = f"{args.catalog}.{MODEL}"
    number = champion_version(model)
    if number is None:
        print(f"ml.deploy: {model} has no version with the alias champion", file=sys.stderr)
        return 1
    try:
        report = deploy(
            WorkspaceClient(),
            model,
            number,
            endpoint=args.endpoint,
            seconds=args.seconds,
            scale_to_zero=args.scale_to_zero,
        )
    except (DeployError, DatabricksError) as error:
        print(f"ml.deploy: {error}", file=sys.stderr)
        return 1
    print(json.dumps(report), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
