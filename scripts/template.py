"""template.yaml as data, and its table as a request to create one."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfnlint.decode import cfn_yaml

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

PATH = Path(__file__).resolve().parents[1] / "template.yaml"


@cache
def load(path: Path = PATH) -> dict[str, Any]:
    """Read a template, once; `!If` and its like come in their long form, `{"Fn::If": [...]}`."""
    template: dict[str, Any] = cfn_yaml.load(str(path))
    return template


def table_properties(template: dict[str, Any]) -> dict[str, Any]:
    """Return the properties of the template's one table."""
    (table,) = (r for r in template["Resources"].values() if r["Type"] == "AWS::DynamoDB::Table")
    properties: dict[str, Any] = table["Properties"]
    return properties


def create_table(client: "DynamoDBClient", name: str, path: Path = PATH) -> None:
    """Create the template's table under a name of one's own: keys, index, stream and TTL as deployed.

    Backups, encryption and deletion protection are left out; an emulator has none of them.
    """
    properties = table_properties(load(path))
    client.create_table(
        TableName=name,
        KeySchema=properties["KeySchema"],
        AttributeDefinitions=properties["AttributeDefinitions"],
        GlobalSecondaryIndexes=properties["GlobalSecondaryIndexes"],
        BillingMode=properties["BillingMode"],
        StreamSpecification={
            "StreamEnabled": True,
            "StreamViewType": properties["StreamSpecification"]["StreamViewType"],
        },
    )
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
    ttl = properties["TimeToLiveSpecification"]
    client.update_time_to_live(
        TableName=name,
        TimeToLiveSpecification={"Enabled": ttl["Enabled"], "AttributeName": ttl["AttributeName"]},
    )
