"""samconfig.toml: environments do not inherit, so each must stand there in full."""

import tomllib
from typing import Any

import pytest

from scripts import deployment, template
from scripts.toolchain import ROOT

ENVIRONMENTS = ["default", "local", "prod"]
COMMANDS = {"global", "validate", "build", "deploy"}


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    return tomllib.loads((ROOT / "samconfig.toml").read_text())


def overrides(deploy: dict[str, Any]) -> dict[str, str]:
    return dict(setting.split("=", 1) for setting in deploy["parameter_overrides"])


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_environment_stands_there_in_full(config: dict[str, Any], environment: str) -> None:
    settings = config[environment]

    assert set(settings) >= COMMANDS
    assert settings["validate"]["parameters"]["lint"] is True
    assert set(settings["deploy"]["parameters"]) == set(config["default"]["deploy"]["parameters"])


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_override_is_a_parameter_with_a_value_that_it_allows(
    config: dict[str, Any], environment: str
) -> None:
    parameters = template.load()["Parameters"]

    for name, value in overrides(config[environment]["deploy"]["parameters"]).items():
        allowed = parameters[name].get("AllowedValues")
        assert allowed is None or value in map(str, allowed)


def test_production_protects_its_data_and_asks_before_it_changes(config: dict[str, Any]) -> None:
    deploy = config["prod"]["deploy"]["parameters"]

    assert overrides(deploy)["DeletionProtection"] == "true"
    assert deploy["confirm_changeset"] is True


def test_stacks_do_not_share_a_name_and_the_embedded_one_is_the_one_that_is_deployed(
    config: dict[str, Any],
) -> None:
    names = [config[environment]["global"]["parameters"]["stack_name"] for environment in ENVIRONMENTS]

    assert len(set(names)) == len(names)
    assert config[deployment.ENVIRONMENT]["global"]["parameters"]["stack_name"] == deployment.STACK_NAME
