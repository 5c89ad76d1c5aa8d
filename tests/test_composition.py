"""The short way to a job's configuration ends at the same place as Hydra's own, whatever the overrides are."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.base import Node
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue

from mlxp_core.config.override_grammar import override
from mlxp_core.errors import OptionError
from mlxp_core.sweeps import composition
from mlxp_core.sweeps.composition import JobPaths, SweepConfigLoader

pytestmark = pytest.mark.hydra


class Kind(Enum):
    ONE = 1
    TWO = 2


@dataclass
class Typed:
    number: int = 1
    ratio: float | None = None
    names: list[str] = field(default_factory=lambda: ["a"])
    table: dict[str, int] = field(default_factory=lambda: {"one": 1})
    kind: Kind = Kind.ONE
    missing: int = "???"  # type: ignore[assignment]  # OmegaConf's mark


# Two trees of configuration files
TREES: dict[str, dict[str, str]] = {
    "plain": {
        "config": "x: 1\nname: run\nnested: {a: 1, b: {c: [1, 2], d: null}}\nlist: [1, 2, 3]\nmissing: ???\n"
        "link: ${x}\nfar: ${nested.b.c}\nenvironment: ${oc.env:HOME}\nother: '${probe:${x}}'\n"
        "through: ${hydra.job.env_set}\nnumber: ${hydra.job.num}\n",
    },
    "groups": {
        "config": "defaults:\n  - typed_schema@typed\n  - model: linear\n  - optimizer@train.optimizer: sgd\n"
        "  - optimizer@fine.optimizer: adam\n  - data: ${model}_data\n  - optional extra: none\n  - _self_\n"
        "x: 1\nname: ${model.name}\n"
        "hydra: {job: {env_set: {A: b}}, sweep: {subdir: '${hydra.job.override_dirname}'}}\nthrough: ${hydra.job}\n",
        "model/linear": "name: linear\nsize: 3\n",
        "model/mlp": "defaults: [linear, _self_]\nname: mlp\nlayers: [8, 8]\nscale: ${x}\n",
        "optimizer/sgd": "lr: 0.1\n",
        "optimizer/adam": "lr: 0.01\nbetas: [0.9, 0.99]\n",
        "data/linear_data": "path: l\n",
        "data/mlp_data": "path: m\n",
        "data/own": "# @package _global_.own\nthing: 1\n",
        "experiment/big": "# @package _global_\ndefaults:\n  - override /model: mlp\n"
        "  - override /optimizer@train.optimizer: adam\nx: 100\n",
        "experiment/place": "# @package _global_\nhydra: {sweep: {dir: 'in/${name}', subdir: '${hydra.job.num}'}}\n",
        "experiment/bad": "# @package _global_\ndefaults:\n  - override /nothing: there\n",
    },
}
VALUES = [
    *("x=2", "x=-1.5e3", "x=null", "x=true", "x='a b'", 'x="it\'s, {odd}"', "x=a\\ b", "x=[1,[2,3]]", "x={k:{v:1}}"),
    *("x=${nested.a}", "x=${probe:3}", "x=${oc.env:HOME}", "x=", "x=???", "++x=3", "+x=3", "~x", "~x=1", "x=1,2"),
    *("+new=1", "+new.deep.key=[1]", "++new=2", "+new={a:1}", "~new", "new=1", "nope.a=1", "+nested.e=1", "name=other"),
    *("hydra.job.name=named", "hydra/launcher=basic", "x@y=1", "nothing=there", "+nothing=there", "x=1 2", "=3"),
    *(
        "x=0",
        "x=-0",
        "x=00",
        "x=1_0",
        "x=1e3",
        "x=-2.50",
        "x=.5",
        "x=1e999",
        "x=12345678901234567890",
        "x.y=1",
        "x..y=1",
    ),
    *(
        "~hydra",
        "hydra=1",
        "hydra={job:{name:a}}",
        "++hydra={job:{name:a}}",
        "through.A=c",
        "++through.A=c",
        "~through",
    ),
    *("through={A:c}", "+through={name:c}", "through.name=c", "++through.env_set.B=c", "through.num=3", "through=4"),
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
    *(
        "typed.number=5",
        "typed.kind=TWO",
        "typed.number=abc",
        "typed.ratio=0.5",
        "typed.names=[x,y]",
        "typed.table={two:2}",
    ),
    *("typed.missing=3", "+typed.more=1", "++typed.table.three=3", "typed=null", "~typed.table.one"),
]
POOLS = {"plain": VALUES + PLAIN, "groups": VALUES + GROUPS}

# The jobs that were given the number of a run
NUMBERED: list[int] = []


def run_number(job: int) -> str:
    NUMBERED.append(job)
    return str(job + 100)


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
        OmegaConf.register_new_resolver("mlxp_run_number", run_number, replace=True)
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
    return (
        type(node),
        sorted(vars(node)),
        sorted(metadata.items(), key=str),
        flags,
        dict(node._metadata.resolver_cache),
        below,
    )


@pytest.mark.parametrize("tree", TREES)
def test_the_same_as_hydra(tree: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with loaders(tmp_path, tree) as (own, ours, master):
        # Each costs two compositions of Hydra's own
        @settings(
            max_examples=settings().max_examples // 20,
            suppress_health_check=list(HealthCheck),
            database=None,
        )
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


@settings(max_examples=300, database=None)
@given(
    st.from_regex(r"[ab](\.[cd])?=[-+]?[0-9_]*\.?[0-9]*([eE][-+]?[0-9]*)?", fullmatch=True)
    | st.floats().map("x={!r}".format)
)
def test_numbers_are_read_as_hydra_reads_them(text: str) -> None:
    def read(parse: Any) -> Any:
        try:
            override = parse(text)
            return override, type(override._value), str(override._value)  # one nan is not another
        except Exception as error:  # whatever Hydra raises for it
            return type(error), str(error)

    theirs, ours = (
        read(OverridesParser.create().parse_override),
        read(SweepConfigLoader(ConfigLoaderImpl(ConfigSearchPathImpl()))._parse),
    )
    assert ours[1:] == theirs[1:]
    assert str(ours[0]) == str(theirs[0])


def test_few_choices_of_groups_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composition, "_MOST_BASES", 2)
    with loaders(tmp_path, "groups") as (own, ours, master):
        for overrides in (["model=mlp"], ["model=linear"], ["optimizer@fine.optimizer=sgd"], ["model=mlp"]):
            assert outcome(ours, master, overrides) == outcome(own, master, overrides)
        (sweep,) = ours._sweeps.values()
        assert len(sweep.bases) == 2


@pytest.mark.parametrize("tree", TREES)
def test_in_another_process(tree: str, tmp_path: Path) -> None:
    cloudpickle = pytest.importorskip("cloudpickle")
    with loaders(tmp_path, tree) as (own, ours, master):
        size = len(cloudpickle.dumps(ours))
        ours.load_sweep_config(master, ["x=5"])
        assert len(cloudpickle.dumps(ours)) == size
        there = cloudpickle.loads(cloudpickle.dumps(ours))
        for overrides in (["x=2"], ["x=2", "name=a"], ["nope=1"]):
            assert outcome(there, master, overrides) == outcome(own, master, overrides)
        assert there.job_paths(master, ["x=2"], 3) == ours.job_paths(master, ["x=2"], 3)


# What hydra.sweep.dir, hydra.sweep.subdir and hydra.output_subdir may say: what no value has a part in ...
SETTLED = [
    *(
        "plain",
        "a\\b",
        "${hydra.job.num}",
        "run_${hydra.job.num}_${hydra.job.num}",
        "${hydra:job.num}/${hydra.job.name}",
    ),
    *("${now:%Y}", "${now:%f}/${now:%H:%M}", "at_${now:%f}_${hydra.job.num}", "${oc.env:HOME}", "${hydra.runtime.cwd}"),
    *(
        "${mlxp_run_number:${hydra.job.num}}",
        "${mlxp_run_number:0}",
        "${oc.env:NO_SUCH,${hydra.job.num}}",
        "${hydra.mode}",
    ),
    *(
        "\\${hydra.job.num}",
        "\\\\${hydra.job.num}",
        "${hydra:runtime.cwd}/x",
        "${hydra.job.config_name}",
        "${hydra.run.dir}",
    ),
]
# ... and the rest
UNSETTLED = [
    *("${x}", "${name}", "${hydra.job.override_dirname}", "${hydra:job.override_dirname}", "${hydra.overrides.task.0}"),
    *("${probe:1}", "${probe:${hydra.job.num}}", "${oc.env:NO_SUCH,${x}}", "${oc.select:x,1}", "${hydra.job.${what}}"),
    *("${now:${x}}", "${mlxp_run_number:${x}}", "${hydra.job.id}", "${hydra:job.id}", "???", "${nothing}", "${.dir}x"),
    *("${ hydra.job.num }", "${..job.num}", "${hydra[job].num}", "${hydra.sweep}", "${number}", "${hydra.job.nothing}"),
]
JOBS = [
    *(
        ["x=2"],
        ["x=3", "name=a"],
        [],
        ["+what=num"],
        ["~x"],
        ["x=2", "hydra.sweep.subdir=mine"],
        ["hydra.job.name=other", "x=1"],
    ),
    *(
        ["hydra.output_subdir=null"],
        ["model=mlp", "x=1"],
        ["+experiment=place"],
        ["through.name=c"],
        ["++through.A=c"],
        ["nope=1"],
    ),
]


def paths(find: Any, *arguments: Any) -> Any:
    """The directories of a job, or the error in their place."""
    try:
        return find(*arguments)
    except Exception as error:  # whatever is raised for them
        return type(error), str(error)


def paths_by_hydra(own: Any, master: DictConfig, overrides: list[str], number: int) -> Any:
    """The directories of a job from its whole configuration."""
    config = own.load_sweep_config(master, overrides)
    with open_dict(config):
        config.hydra.job.num = number
    HydraConfig.instance().cfg = config
    hydra = config.hydra
    return JobPaths(os.path.abspath(hydra.sweep.dir), str(hydra.sweep.subdir), hydra.output_subdir)


def place(master: DictConfig, subdir: str, sweep_dir: str = "there", output_subdir: str = "metadata") -> None:
    """Have all jobs say this of their directories, as a callback does."""
    given = {"sweep.dir": sweep_dir, "sweep.subdir": subdir, "output_subdir": output_subdir}
    # Hydra's own composition of the sweep, with its cached values, stays
    master.hydra.overrides.hydra.extend([override(f"hydra.{key}", text) for key, text in given.items()])


@pytest.mark.parametrize("tree", TREES)
def test_directories_are_the_whole_configurations(tree: str, tmp_path: Path, fresh_hydra_config: None) -> None:
    with loaders(tmp_path, tree) as (own, ours, master):
        assert len(master.hydra.sweep.dir) > 0  # asked for by Hydra's sweeper, and so the same time for all jobs
        fractions = OmegaConf.create({"now": "${now:%f}"})
        fractions._set_parent(master)
        assert len(fractions.now) == 6  # another part of the time that jobs are to agree upon
        for number, text in enumerate((SETTLED + UNSETTLED)[:: 3 if tree == "plain" else 6]):
            place(
                master, text, *((f"{text}/d", text) if number % 3 == 0 else (f"d/{text}",) if number % 3 == 1 else ())
            )
            for job, overrides in enumerate([["x=2"], JOBS[number % len(JOBS)]]):
                expected = paths(paths_by_hydra, own, master, overrides, job)
                HydraConfig.instance().cfg = None
                for _ in "before", "once composed":
                    found = paths(ours.job_paths, master, overrides, job)
                    if found[0] is OptionError:
                        assert expected[0] in (InterpolationToMissingValueError, MissingMandatoryValue)
                        assert str(expected[1]).splitlines()[0] in found[1]
                    else:
                        assert found == expected, (text, overrides)
                    assert HydraConfig.instance().cfg is None
            if number % 8 == 0:
                assert outcome(ours, master, ["x=2"]) == outcome(own, master, ["x=2"])


def test_directories_of_a_job_that_was_composed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not composed again where no value has a part in them."""
    with loaders(tmp_path, "plain") as (_, ours, master):
        for text in (SETTLED + UNSETTLED)[::3]:
            place(master, text)
            ours.load_sweep_config(master, ["x=1"])
            with monkeypatch.context() as patch:
                patch.setattr(ours, "load_sweep_config", lambda *arguments: 1 / 0)
                with nullcontext() if text in SETTLED else pytest.raises(ZeroDivisionError):
                    ours.job_paths(master, ["x=1"], 1)


def test_a_run_is_numbered_once(tmp_path: Path) -> None:
    with loaders(tmp_path, "plain") as (_, ours, master):
        place(master, "${mlxp_run_number:${hydra.job.num}}")
        NUMBERED.clear()
        for number in range(3):
            ours.load_sweep_config(master, [f"x={number}"])
        assert NUMBERED == []
        for number in range(5):  # two of which are not composed before
            assert ours.job_paths(master, [f"x={number}"], number).subdir == str(number + 100)
        assert NUMBERED == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("composed", [True, False])
def test_a_job_that_cannot_be_composed_has_no_directories(composed: bool, tmp_path: Path) -> None:
    with loaders(tmp_path, "plain") as (own, ours, master):
        ours.load_sweep_config(master, ["x=1"])
        if composed:
            paths(ours.load_sweep_config, master, ["nope=1"])
        assert paths(ours.job_paths, master, ["nope=1"], 0) == paths(own.load_sweep_config, master, ["nope=1"])


def test_directories_that_change_on_the_way(tmp_path: Path) -> None:
    """A callback has its say between two jobs, and the sweep's time may be forgotten."""
    with loaders(tmp_path, "plain") as (_, ours, master):
        place(master, "a", "${now:%f}")
        ours.load_sweep_config(master, ["x=1"])
        OmegaConf.get_cache(master)["now"][("%f",)] = "first"
        assert Path(ours.job_paths(master, ["x=1"], 0).sweep_dir).name == "first"
        assert Path(ours.job_paths(master, ["x=1"], 1).sweep_dir).name == "first"
        OmegaConf.clear_cache(master)
        OmegaConf.get_cache(master)["now"][("%f",)] = "second"
        assert Path(ours.job_paths(master, ["x=1"], 2).sweep_dir).name == "second"
        place(master, "b")
        assert ours.job_paths(master, ["x=1"], 0) == (str(Path("there").absolute()), "b", "metadata")


@pytest.mark.parametrize("text", ["${hydra.job.id}", "???", "${hydra:job.id}"])
def test_directories_that_are_not_known_yet(text: str, tmp_path: Path) -> None:
    with loaders(tmp_path, "plain") as (_, ours, master):
        place(master, text)
        ours.load_sweep_config(master, ["x=1"])
        found = paths(ours.job_paths, master, ["x=1"], 0)
        if text == "${hydra:job.id}":
            assert "Error" in found[0].__name__  # Hydra's resolver
        else:
            assert found[0] is OptionError
            assert "must be known before the job is submitted, but use a value that is not (" in found[1]


@pytest.fixture
def fresh_hydra_config() -> Iterator[None]:
    """HydraConfig is this process's."""
    yield
    HydraConfig.instance().cfg = None
