"""What the adapters of a country on one machine are configured with: their settings, and the shipped profiles.

A profile is taken as the adapters' part ships it; only where things listen is changed.
"""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from onecard_protocol.identifiers import HUB
from onecard_protocol.settings_file import read_settings
from onecard_protocol.signatures.keyfile import KeyFile
from onecard_stubs.dev.hub_configuration import NETWORK, Keys, ParticipantFiles, certificate_name, write_yaml
from onecard_stubs.dev.provinces import Province


def write_adapter_configuration(
    file: Path,
    province: Province,
    *,
    files: ParticipantFiles,
    keys: Keys,
    hub_key: KeyFile,
    gateways: Sequence[str],
    store: Path,
    listen_port: int,
    local_system_port: int,
    database: Mapping[str, str] | None = None,
) -> str:
    """Write an adapter's settings and its profile beside them; returns the URL where it serves its local systems.

    `database` is what the profile says of its local system's tables, url and key_file, where it keeps some.
    """
    profile_files, url = [], ""
    if province.stub:
        profile = read_settings(shipped_profile(province.id))
        url = _move(profile, shipped_profile(province.id).parent, listen_port, local_system_port, database)
        profile_files = [str(file.with_suffix(".profile.yaml"))]
        write_yaml(file.with_suffix(".profile.yaml"), profile)
    write_yaml(
        file,
        {
            "participant": province.id,
            "network": NETWORK,
            "hub": {
                "gateways": list(gateways),
                "server_name": certificate_name(HUB),
                "keys": [{"key_id": hub_key.key_id, "public_key": hub_key.public_key}],
                "tls": {
                    "certificate_file": str(files.certificate.certificate),
                    "private_key_file": str(files.certificate.private_key),
                    "authority_file": str(keys.authority.file),
                },
            },
            "signing_key": {"file": str(files.key_file), "passphrase_file": str(keys.passphrase_file)},
            "store": {"file": str(store), "key_file": str(store.with_suffix(".store-key"))},
            "profile_files": profile_files,
        },
    )
    return url


def shipped_profile(participant: str) -> Path:
    """The profile file of a province in the adapters' part, which is found without importing it."""
    specification = importlib.util.find_spec("onecard_adapters")
    if specification is None or not specification.submodule_search_locations:
        raise FileNotFoundError("the adapters' part is not installed")
    return Path(specification.submodule_search_locations[0]) / "profiles" / f"{participant}.yaml"


def _move(
    node: Any, directory: Path, listen_port: int, local_system_port: int, database: Mapping[str, str] | None
) -> str:
    """Put the ports of this country into a profile, whose roles share one; returns the first URL."""
    url = ""
    if isinstance(node, list):
        for item in node:
            found = _move(item, directory, listen_port, local_system_port, database)
            url = url or found
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "listen":
                value["host"], value["port"] = "127.0.0.1", listen_port
                url = f"http://127.0.0.1:{listen_port}{value['path']}"
            elif name == "core":
                parts = urlsplit(value["url"])
                value["url"] = urlunsplit(parts._replace(netloc=f"127.0.0.1:{local_system_port}"))
            elif name == "database" and database is not None:
                value.update(database)
            elif name == "code_tables":
                node[name] = str(directory / value)
            else:
                found = _move(value, directory, listen_port, local_system_port, database)
                url = url or found
    return url
