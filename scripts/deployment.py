"""Build the SAM application, deploy it to an emulator, and find what was deployed."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from scripts.locks import exclusive
from scripts.toolchain import (
    ACCESS_KEY_ID,
    LOCAL,
    REGION,
    ROOT,
    SAM,
    SECRET_ACCESS_KEY,
    require,
    run_logged,
    sam_environment,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# The environment of samconfig.toml that is deployed, and its stack's name there.
ENVIRONMENT = "local"
STACK_NAME = "leasegate-local"


def build(folder: Path, log: Path) -> None:
    """Run `sam build` into a folder; unchanged parts come from a cache that all builds share."""
    require(SAM)
    # SAM's cache knows nothing of a second build beside it.
    with exclusive(LOCAL / "build.lock"):
        command: list[str | Path] = [
            SAM, "build", "--config-env", ENVIRONMENT, "--build-dir", folder, "--cache-dir", LOCAL / "sam-cache"
        ]  # fmt: skip
        run_logged(command, env=sam_environment(), log=log)


def deploy(build_folder: Path, endpoint_url: str, log: Path) -> None:
    """Run `sam deploy` of what was built; an unchanged stack is left as it is."""
    require(SAM)
    command: list[str | Path] = [
        SAM, "deploy", "--config-file", ROOT / "samconfig.toml", "--config-env", ENVIRONMENT,
        "--template-file", build_folder / "template.yaml",
    ]  # fmt: skip
    run_logged(command, env=sam_environment(endpoint_url), log=log)


def client(service: str, endpoint_url: str) -> Any:  # noqa: ANN401 - boto3's clients have no common type
    """Build a client of the emulated account."""
    return boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=endpoint_url,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET_ACCESS_KEY,
        config=Config(max_pool_connections=32),
    )


def dynamodb_client(endpoint_url: str) -> "DynamoDBClient":
    """Build a DynamoDB client of the emulated account."""
    built: DynamoDBClient = client("dynamodb", endpoint_url)
    return built


def outputs(endpoint_url: str) -> dict[str, str]:
    """Return the deployed stack's outputs, with the ApiUrl at which the emulator serves it."""
    cloudformation = client("cloudformation", endpoint_url)
    (stack,) = cloudformation.describe_stacks(StackName=STACK_NAME)["Stacks"]
    found = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    api = cloudformation.describe_stack_resource(StackName=STACK_NAME, LogicalResourceId="Api")
    api_id = api["StackResourceDetail"]["PhysicalResourceId"]
    stage = found["ApiUrl"].rsplit("/", 1)[1]
    return {**found, "ApiUrl": f"{endpoint_url}/restapis/{api_id}/{stage}/_user_request_"}
