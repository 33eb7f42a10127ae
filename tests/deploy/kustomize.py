"""Builds an overlay of deploy/kubernetes: what kustomize does, of which only what we use.

A test compares it with kustomize itself, where that is. The names of ConfigMaps have no hash here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import yaml  # type: ignore[import-untyped]

Manifest = dict[str, Any]
KUBERNETES: Final = Path(__file__).parents[2] / "deploy" / "kubernetes"
_KNOWN: Final = {"apiVersion", "kind", "namespace", "resources", "configMapGenerator", "patches", "images"}
#: What tells the elements of a list apart, by the field that holds it; other lists are replaced as a whole.
_KEYS: Final = {
    "containers": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
}
_CLUSTER_WIDE: Final = {"Namespace"}


def build(folder: Path) -> list[Manifest]:
    said = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert set(said) <= _KNOWN, f"{folder} asks for more than is built here: {set(said) - _KNOWN}"
    found: list[Manifest] = []
    for name in said["resources"]:
        path = folder / name
        found += build(path.resolve()) if path.is_dir() else documents(path)
    for generator in said.get("configMapGenerator", []):
        _generate(found, folder, generator)
    for patch in said.get("patches", []):
        change = yaml.safe_load((folder / patch["path"]).read_text())
        targets = [one for one in found if _is_target(one, patch["target"])]
        assert targets, f"{patch} matches nothing"
        for one in targets:
            own = {name: one["metadata"][name] for name in ("name",)}
            _merge(one, change)
            one["metadata"] |= own
    for one in found:
        if "namespace" in said and one["kind"] not in _CLUSTER_WIDE:
            one["metadata"]["namespace"] = said["namespace"]
        for image in said.get("images", []):
            _rename(one, image)
    return found


def documents(path: Path) -> list[Manifest]:
    return list(yaml.safe_load_all(path.read_text()))


def settings(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def _generate(found: list[Manifest], folder: Path, generator: Manifest) -> None:
    data = {name: value for path in generator["envs"] for name, value in settings(folder / path).items()}
    if generator.get("behavior") == "merge":
        [old] = [one for one in found if one["kind"] == "ConfigMap"]
        old["data"] |= data
    else:
        meta = {"name": generator["name"]}
        found.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})


def _is_target(one: Manifest, target: dict[str, str]) -> bool:
    labels = one["metadata"].get("labels", {})
    label, _, value = target.get("labelSelector", "").partition("=")
    return (
        one["kind"] == target["kind"]
        and re.fullmatch(target.get("name", ".*"), one["metadata"]["name"]) is not None
        and (not label or labels.get(label) == value)
    )


def _merge(into: Manifest, change: Manifest) -> None:
    """A strategic merge: mappings are merged, None removes, and lists with a key are merged by it."""
    for name, value in change.items():
        if value is None:
            into.pop(name, None)
        elif isinstance(value, dict) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        elif isinstance(value, list) and name in _KEYS and name in into:
            _merge_list(into[name], value, _KEYS[name])
        else:
            into[name] = yaml.safe_load(yaml.safe_dump(value))  # a copy: a patch has several targets


def _merge_list(into: list[Manifest], change: list[Manifest], key: str) -> None:
    for value in change:
        same = [one for one in into if one.get(key) == value[key]]
        if same:
            _merge(same[0], value)
        else:
            into.append(yaml.safe_load(yaml.safe_dump(value)))


def _rename(one: Manifest, image: dict[str, str]) -> None:
    for container in one.get("spec", {}).get("template", {}).get("spec", {}).get("containers", []):
        if container["image"] == image["name"]:
            container["image"] = f"{image.get('newName', image['name'])}:{image['newTag']}"
