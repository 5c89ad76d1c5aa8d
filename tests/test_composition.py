"""The short way to a job's configuration ends at the same place as Hydra's own, whatever the overrides are."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf
from omegaconf.base import Node

from mlxp_core.composition import SweepConfigLoader


@dataclass
class Typed:
    number: int = 1
    ratio: float | None = None
    names: list[str] = field(default_factory=lambda: ["a"])
    table: dict[str, int] = field(default_factory=lambda: {"one": 1})
    missing: int = "???"  # type: ignore[assignment]  # OmegaConf's mark


# Two trees of configuration files
TREES: dict[str, dict[str, str]] = {
    "plain": {
        "config": "x: 1\nname: run\nnested: {a: 1, b: {c: [1, 2], d: null}}\nlist: [1, 2, 3]\nmissing: ???\n"
        "link: ${x}\nfar: ${nested.b.c}\nenvironment: ${oc.env:HOME}\nother: '${probe:${x}}'\n",
    },
    "groups": {
        "config": "defaults:\n  - typed_schema@typed\n  - model: linear\n  - optimizer@train.optimizer: sgd\n"
        "  - optimizer@fine.optimizer: adam\n  - data: ${model}_data\n  - optional extra: none\n  - _self_\n"
        "x: 1\nname: ${model.name}\n"
        "hydra: {job: {env_set: {A: b}}, sweep: {subdir: '${hydra.job.override_dirname}'}}\n",
        "model/linear": "name: linear\nsize: 3\n",
        "model/mlp": "defaults: [linear, _self_]\nname: mlp\nlayers: [8, 8]\nscale: ${x}\n",
        "optimizer/sgd": "lr: 0.1\n",
        "optimizer/adam": "lr: 0.01\nbetas: [0.9, 0.99]\n",
        "data/linear_data": "path: l\n",
        "data/mlp_data": "path: m\n",
        "data/own": "# @package _global_.own\nthing: 1\n",
        "experiment/big": "# @package _global_\ndefaults:\n  - override /model: mlp\n"
        "  - override /optimizer@train.optimizer: adam\nx: 100\n",
        "experiment/bad": "# @package _global_\ndefaults:\n  - override /nothing: there\n",
    },
}
VALUES = [
    *("x=2", "x=-1.5e3", "x=null", "x=true", "x='a b'", 'x="it\'s, {odd}"', "x=a\\ b", "x=[1,[2,3]]", "x={k:{v:1}}"),
    *("x=${nested.a}", "x=${probe:3}", "x=${oc.env:HOME}", "x=", "x=???", "++x=3", "+x=3", "~x", "~x=1", "x=1,2"),
    *("+new=1", "+new.deep.key=[1]", "++new=2", "+new={a:1}", "~new", "new=1", "nope.a=1", "+nested.e=1", "name=other"),
    *("hydra.job.name=named", "hydra/launcher=basic", "x@y=1", "nothing=there", "+nothing=there", "x=1 2", "=3"),
]
PLAIN = [
    *("nested.a=5", "nested.b.c=[9]", "nested.b={c:1}", "nested={a:2}", "~nested.b", "~nested.b.d", "~nested.zzz"),
    *("nested.b.d=7", "list=[]", "list.0=5", "list=[${x}]", "missing=1", "link=3", "+link=3", "nested=null"),
]
GROUPS = [
    *("model=mlp", "model=linear", "model=none", "model={size:9}", "model=[mlp]", "+model=mlp", "~model", "~model=mlp"),
    *("model.size=4", "model.layers=[1]", "+model.layers=[1]", "model.name=${x}", "++model=mlp", "model=3"),
    *("optimizer@train.optimizer=adam", "optimizer@fine.optimizer=sgd", "optimizer=adam", "~optimizer@fine.optimizer"),
    *("train.optimizer.lr=0.5", "+train.optimizer.betas=[1]", "train.optimizer.betas.0=1", "+optimizer@third=sgd"),
    *("+experiment=big", "experiment=big", "+experiment=bad", "data=own", "data=mlp_data", "data@here=own"),
    *("typed.number=5", "typed.number=abc", "typed.ratio=0.5", "typed.names=[x,y]", "typed.table={two:2}"),
    *("typed.missing=3", "+typed.more=1", "++typed.table.three=3", "typed=null", "~typed.table.one"),
]
POOLS = {"plain": VALUES + PLAIN, "groups": VALUES + GROUPS}


@contextmanager
def loaders(directory: Path, tree: str, *hydra_overrides: str) -> Iterator[tuple[Any, SweepConfigLoader, DictConfig]]:
    """Hydra's own loader, ours, and the configuration of a sweep."""
    for name, text in TREES[tree].items():
        file = directory / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    with warnings.catch_warnings():
        # 1.4 deprecates version_base, which 1.3 wants, the resolver's old name, and storing a schema again
        warnings.simplefilter("ignore")
        ConfigStore.instance().store(name="typed_schema", node=Typed)
        OmegaConf.register_new_resolver("probe", lambda value: f"probed {value}", replace=True)
        with initialize_config_dir(str(directory), version_base=None):
            hydra = GlobalHydra.instance().hydra
            assert hydra is not None
            own = hydra.config_loader
            master = own.load_configuration("config", ["hydra.mode=MULTIRUN", *hydra_overrides], RunMode.MULTIRUN)
            yield own, SweepConfigLoader(own), master


def outcome(loader: Any, master: DictConfig, overrides: list[str]) -> Any:
    """All there is to a configuration, or to the error in its place."""
    try:
        return described(loader.load_sweep_config(master, overrides))
    except Exception as error:  # whatever Hydra raises for it
        return type(error), str(error), type(error.__cause__), str(error.__cause__)


def described(node: Node) -> Any:
    """A node with its types, flags and cached values, and all below it."""
    metadata = {name: value for name, value in vars(node._metadata).items() if name != "resolver_cache"}
    content = vars(node).get("_content", vars(node).get("_val"))
    below: Any = content
    if isinstance(content, dict):
        below = {key: described(value) for key, value in content.items()}
        assert all(value._get_parent() is node for value in content.values())
    elif isinstance(content, list):
        below = [described(value) for value in content]
        assert all(value._get_parent() is node for value in content)
    elif isinstance(content, Node):
        below = described(content)
    flags = metadata.pop("flags") or {}
    return type(node), sorted(metadata.items(), key=str), flags, dict(node._metadata.resolver_cache), below


@pytest.mark.parametrize("tree", TREES)
def test_the_same_as_hydra(tree: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with loaders(tmp_path, tree) as (own, ours, master):

        @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(st.lists(st.sampled_from(POOLS[tree]), max_size=4))
        def check(overrides: list[str]) -> None:
            assert outcome(ours, master, overrides) == outcome(own, master, overrides)

        check()
        for override in POOLS[tree]:
            assert outcome(ours, master, [override]) == outcome(own, master, [override]), override


@pytest.mark.parametrize("tree", TREES)
def test_with_overrides_of_the_sweep(tree: str, tmp_path: Path) -> None:
    """Those of the hydra node are every job's; a job may have its own."""
    given = ("hydra.job.config.override_dirname.exclude_keys=[x]", "hydra.sweep.subdir='${hydra.job.override_dirname}'")
    with loaders(tmp_path, tree, *given) as (own, ours, master):
        for overrides in ([], ["x=2", "name=a"], ["x=3", "hydra.sweep.subdir=mine"], ["hydra.job.env_copy=[HOME]"]):
            assert outcome(ours, master, overrides) == outcome(own, master, overrides)


def test_one_job_does_not_change_another(tmp_path: Path) -> None:
    with loaders(tmp_path, "groups") as (own, ours, master):
        first = ours.load_sweep_config(master, ["model=mlp", "+new={a:[1]}"])
        first.model.layers.append(9)
        first.new.a.append(2)
        OmegaConf.set_struct(first, False)
        first.hydra.job.env_set.B = "c"
        for overrides in (["model=mlp"], ["model=mlp", "+new={a:[1]}"]):
            assert outcome(ours, master, overrides) == outcome(own, master, overrides)


def test_hydra_composes_once_for_each_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with loaders(tmp_path, "groups", "hydra.sweep.subdir='${hydra.job.num}'") as (_, ours, master):
        composed: list[list[str]] = []
        original = ConfigLoaderImpl.load_sweep_config

        def counted(self: Any, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
            composed.append(sweep_overrides)
            return original(self, master_config, sweep_overrides)

        monkeypatch.setattr(ConfigLoaderImpl, "load_sweep_config", counted)
        for number in range(50):
            ours.load_sweep_config(master, [f"x={number}", f"model={'mlp' if number % 2 else 'linear'}", "name=a"])
        assert composed == [["model=linear"], ["model=mlp"]]
