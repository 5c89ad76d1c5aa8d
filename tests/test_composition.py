"""The fast composition of jobs gives the same configurations and directories as Hydra's own, for all overrides."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
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
from mlxp_core.sweeps import base_config, composition
from mlxp_core.sweeps.base_config import JobPaths
from mlxp_core.sweeps.composition import SweepConfigLoader, first_difference
from tests.programs import PROBE, App

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

# The jobs whose run numbers were resolved
NUMBERED: list[int] = []


def run_number(job: int) -> str:
    NUMBERED.append(job)
    return str(job + 100)


@contextmanager
def loaders(directory: Path, tree: str, *hydra_overrides: str) -> Iterator[tuple[Any, SweepConfigLoader, DictConfig]]:
    """Yield Hydra's own loader, ours, and the configuration of a sweep."""
    for name, text in TREES[tree].items():
        file = directory / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    with warnings.catch_warnings():
        # 1.4 deprecates version_base, which 1.3 requires, the old name of the resolver, and storing a schema again
        warnings.simplefilter("ignore")
        ConfigStore.instance().store(name="typed_schema", node=Typed)
        OmegaConf.register_new_resolver("probe", lambda value: f"probed {value}", replace=True)
        OmegaConf.register_new_resolver("mlxp_run_number", run_number, replace=True)
        with initialize_config_dir(str(directory), version_base=None):
            # Two compositions must be equal at the end of a minute, too; only the parts of seconds change
            start = datetime.now()
            OmegaConf.register_new_resolver(
                "now",
                lambda pattern: (datetime.now() if pattern == "%f" else start).strftime(pattern),
                use_cache=True,
                replace=True,
            )
            hydra = GlobalHydra.instance().hydra
            assert hydra is not None
            own = hydra.config_loader
            master = own.load_configuration("config", ["hydra.mode=MULTIRUN", *hydra_overrides], RunMode.MULTIRUN)
            yield own, SweepConfigLoader(own), master


def outcome(loader: Any, master: DictConfig, overrides: list[str]) -> Any:
    """Return everything about a configuration, or about the error in its place."""
    try:
        return described(loader.load_sweep_config(master, overrides))
    except Exception as error:  # Hydra's errors have many types
        return type(error), str(error), type(error.__cause__), str(error.__cause__)


def described(node: Node) -> Any:
    """Return a node with its types, flags and cached values, and everything below it."""
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
    """Overrides of the hydra node apply to every job; a job may also have its own."""
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


def counted_compositions(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Record the overrides of each job that Hydra composes itself from now on."""
    composed: list[list[str]] = []
    original = ConfigLoaderImpl.load_sweep_config

    def counted(self: Any, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        composed.append(sweep_overrides)
        return original(self, master_config, sweep_overrides)

    monkeypatch.setattr(ConfigLoaderImpl, "load_sweep_config", counted)
    return composed


def test_hydra_composes_once_for_each_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with loaders(tmp_path, "groups", "hydra.sweep.subdir='${hydra.job.num}'") as (_, ours, master):
        composed = counted_compositions(monkeypatch)
        for number in range(50):
            ours.load_sweep_config(master, [f"x={number}", f"model={'mlp' if number % 2 else 'linear'}", "name=a"])
        assert composed == [["model=linear"], ["model=mlp"]]


@pytest.mark.parametrize("subdir", ["${hydra.job.num}", "${x}", "${now:%f}"])
def test_the_first_job_is_composed_in_both_ways(
    subdir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with loaders(tmp_path, "plain", f"hydra.sweep.subdir='{subdir}'") as (_, ours, master):
        composed = counted_compositions(monkeypatch)
        for number in range(3):
            ours.load_sweep_config(master, [f"x={number}"])
        for number in range(3):
            ours.job_paths(master, [f"x={number}"], number)
        assert composed == [[], ["x=0"]]
        assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("function", "key"),
    [("set_number", "x"), ("value_of", "hydra.sweep.dir"), ("copy_config", "hydra.job.name")],
)
def test_a_difference_leaves_all_jobs_to_hydra(
    function: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with loaders(tmp_path, "plain", "hydra.sweep.subdir='${hydra.job.num}'") as (own, ours, master):

        def set_number(config: DictConfig, override: Any) -> bool:
            config.x = 17
            return True

        def value_of(node: Any, tree: Any, number: int) -> str:
            return f"elsewhere/{number}"

        def copy_config(config: DictConfig) -> DictConfig:
            copied = copy.deepcopy(config)
            copied.hydra.job.name = "other"
            return copied

        wrong = {made.__name__: made for made in (set_number, value_of, copy_config)}
        monkeypatch.setattr(base_config, function, wrong[function])
        for number in range(3):
            assert ours.job_paths(master, [f"x={number}"], number).subdir == str(number)
            assert outcome(ours, master, [f"x={number}"]) == outcome(own, master, [f"x={number}"])
        assert capsys.readouterr().out == (
            f"The fast composition of jobs gives another value for '{key}' than Hydra does, so Hydra composes all jobs "
            "of this launch, which takes longer (about 0.1 s for each).\n"
        )


@pytest.mark.parametrize(
    ("ours", "theirs", "key"),
    [
        ({"a": {"b": [1, {"c": 2}]}}, {"a": {"b": [1, {"c": 3}]}}, "a.b.1.c"),
        ({"a": 1}, {"a": 1, "b": None}, "b"),
        ({"a": 1, "b": None}, {"a": 1}, "b"),
        ({"a": [1]}, {"a": [1, 2]}, "a"),
        ({"a": 1}, {"a": True}, "a"),
        ({"a": 1}, {"a": 1.0}, "a"),
        ({"a": [1]}, {"a": {"0": 1}}, "a"),
        ({"a": float("nan"), "b": object()}, {"a": float("nan"), "b": object()}, None),
    ],
)
def test_first_difference(ours: Any, theirs: Any, key: str | None) -> None:
    assert first_difference(ours, theirs) == key


# The probe, with a fast composition that gives every job the same wrong value
DIFFERENT = """
from mlxp_core.sweeps import base_config

def set_number(config, override):
    config.x = 17
    return True

base_config.set_number = set_number
"""


def test_a_launch_whose_composition_differs(app: App) -> None:
    """A launch of several batches reports it once, and its jobs are those that Hydra composes."""
    app.write("main.py", DIFFERENT + PROBE)
    options = ("hydra.sweeper.max_batch_size=2", "hydra.sweep.dir=sweep", "hydra.sweep.subdir=x${x}")
    result = app.sweep("x=1,2,3", "hydra/launcher=local", *options)
    assert result.stdout.count("gives another value for 'x' than Hydra does") == 1
    assert [run.name for run in app.runs()] == ["x1", "x2", "x3"]
    assert [run["config"]["x"] for run in app.seen()] == [1, 2, 3]


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
        except Exception as error:  # Hydra's errors have many types
            return type(error), str(error)

    theirs, ours = (
        read(OverridesParser.create().parse_override),
        read(SweepConfigLoader(ConfigLoaderImpl(ConfigSearchPathImpl()))._parse),
    )
    assert ours[1:] == theirs[1:]
    assert str(ours[0]) == str(theirs[0])


def test_few_choices_of_groups_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composition, "_MAX_BASES", 2)
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


# Texts of hydra.sweep.dir, hydra.sweep.subdir and hydra.output_subdir on which no value has an influence ...
FIXED = [
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
# ... and other texts
VARIABLE = [
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
    """Return the directories of a job, or the error in their place."""
    try:
        return find(*arguments)
    except Exception as error:  # Hydra's errors have many types
        return type(error), str(error)


def paths_by_hydra(own: Any, master: DictConfig, overrides: list[str], number: int) -> Any:
    """Return the directories of a job from its whole configuration."""
    config = own.load_sweep_config(master, overrides)
    with open_dict(config):
        config.hydra.job.num = number
    HydraConfig.instance().cfg = config
    hydra = config.hydra
    return JobPaths(os.path.abspath(hydra.sweep.dir), str(hydra.sweep.subdir), hydra.output_subdir)


def place(master: DictConfig, subdir: str, sweep_dir: str = "there", output_subdir: str = "metadata") -> None:
    """Set the directories of all jobs, as a callback does."""
    given = {"sweep.dir": sweep_dir, "sweep.subdir": subdir, "output_subdir": output_subdir}
    # The master configuration stays as Hydra composed it, with its cached values
    master.hydra.overrides.hydra.extend([override(f"hydra.{key}", text) for key, text in given.items()])


@pytest.mark.parametrize("tree", TREES)
def test_directories_are_those_of_the_whole_configuration(tree: str, tmp_path: Path, fresh_hydra_config: None) -> None:
    with loaders(tmp_path, tree) as (own, ours, master):
        assert len(master.hydra.sweep.dir) > 0  # resolved by Hydra's sweeper, so all jobs have the same time
        fractions = OmegaConf.create({"now": "${now:%f}"})
        fractions._set_parent(master)
        assert len(fractions.now) == 6  # another part of the time, to be the same in all jobs
        for number, text in enumerate((FIXED + VARIABLE)[:: 3 if tree == "plain" else 6]):
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
    """It is not composed again if no value has an influence on them."""
    with loaders(tmp_path, "plain") as (_, ours, master):
        ours.job_paths(master, ["x=1"], 0)  # the first job is always composed
        for text in (FIXED + VARIABLE)[::3]:
            place(master, text)
            ours.load_sweep_config(master, ["x=1"])
            with monkeypatch.context() as patch:
                patch.setattr(ours, "load_sweep_config", lambda *arguments: 1 / 0)
                with nullcontext() if text in FIXED else pytest.raises(ZeroDivisionError):
                    ours.job_paths(master, ["x=1"], 1)


def test_a_run_is_numbered_once(tmp_path: Path) -> None:
    with loaders(tmp_path, "plain") as (_, ours, master):
        place(master, "${mlxp_run_number:${hydra.job.num}}")
        NUMBERED.clear()
        for number in range(3):
            ours.load_sweep_config(master, [f"x={number}"])
        assert NUMBERED == []
        for number in range(5):  # the last two were not composed before
            assert ours.job_paths(master, [f"x={number}"], number).subdir == str(number + 100)
        assert NUMBERED == [0, 0, 1, 2, 3, 4]  # the first in both ways; LoggingCallback gives a job one number


@pytest.mark.parametrize("composed", [True, False])
def test_a_job_that_cannot_be_composed_has_no_directories(composed: bool, tmp_path: Path) -> None:
    with loaders(tmp_path, "plain") as (own, ours, master):
        ours.load_sweep_config(master, ["x=1"])
        if composed:
            paths(ours.load_sweep_config, master, ["nope=1"])
        assert paths(ours.job_paths, master, ["nope=1"], 0) == paths(own.load_sweep_config, master, ["nope=1"])


def test_directories_that_change_on_the_way(tmp_path: Path) -> None:
    """A callback changes the overrides between two jobs, or the cache of the sweep's time is cleared."""
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
            assert "must be known before the job is submitted, but depend on a value that is not known" in found[1]


@pytest.fixture
def fresh_hydra_config() -> Iterator[None]:
    """Reset HydraConfig, which is global, after the test."""
    yield
    HydraConfig.instance().cfg = None
