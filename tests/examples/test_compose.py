"""The compose file is whole: what a service waits for is there, and nothing is open to other machines."""

from pathlib import Path

import yaml


def test_the_store_is_pinned_and_listens_to_this_machine_alone() -> None:
    content = yaml.safe_load((Path(__file__).parents[2] / "examples" / "compose.yaml").read_text())
    services = content["services"]
    for service in services.values():
        assert ":" in service["image"]
        assert "latest" not in service["image"]
        assert set(service.get("depends_on", {})) <= set(services)
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert {volume.split(":")[0] for volume in services["store"]["volumes"]} == set(content["volumes"])
