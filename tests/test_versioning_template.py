"""Projects that lay out their directories themselves, as lightning-hydra-template does: logs, data, local configs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.projects import BOTH, COPY, MAIN, Project, option
from tests.support.cli import mlxp

pytestmark = pytest.mark.once

_CONFIG = """
defaults:
- _self_
- optional local: default

x: 1
action: null
name: train
where: nowhere
paths:
  root: ${oc.env:PROBE_ROOT}
  logs: ${paths.root}/logs/
hydra:
  run:
    dir: ${paths.logs}/${name}/runs/${now:%Y-%m-%d}_${x}
  sweep:
    dir: ${paths.logs}/${name}/multiruns/${x}
"""


@pytest.fixture
def template(project: Project) -> Project:
    """A project whose program sets the root of all its paths, from the place of its own file."""
    root = 'os.environ["PROBE_ROOT"] = str(Path(__file__).resolve().parent)\n\n\n@hydra.main'
    project.write("main.py", MAIN.replace("@hydra.main", root))
    project.write("conf/config.yaml", _CONFIG)
    project.write("../.gitignore", "/tutorial/conf/local\n/tutorial/logs\n/tutorial/data/*\n!.gitkeep\n.env\n")
    project.commit()
    return project


@pytest.mark.parametrize("launcher", ["plain", "basic", "local"])
def test_runs_outside_the_copy(template: Project, launcher: str) -> None:
    """Hydra's run directories are where they would be without a copy, also if they differ between jobs."""
    more = {"plain": ["x=2"], "basic": ["-m", "x=2,3"], "local": ["-m", "x=2,3", "hydra/launcher=local"]}[launcher]
    result = template.run(*more, "hydra/callbacks=mlxp_versioning", *option(run_from="copy"))
    assert result.status == 0, result.text
    (copy,) = template.copies()
    logs = template.directory / "logs" / "train"
    found = [str(path.parent.relative_to(logs)) for path in sorted(template.root.rglob("seen.json"))]
    if launcher == "plain":
        assert [path.partition("/")[0] for path in found] == ["runs"]
        assert found[0].endswith("_2")
    else:
        assert found == ["multiruns/2/0", "multiruns/3/1"]
    assert not (copy / "tutorial" / "logs").exists()
    assert template.seen()[0]["config"]["paths"]["root"] == str(copy / "tutorial")


def test_a_config_that_git_ignores(template: Project) -> None:
    """The launch names it with the option that links it; the link is in no other launch at the same commit."""
    template.write("conf/local/default.yaml", "# @package _global_\nwhere: here\n")
    template.write("conf/local/other.yaml", "")
    template.write(".env", "")
    advice = option(links="[.env,conf/local/default.yaml]")
    result = template.launch(*option(links="[.env]"))
    assert (
        "Warning: the configuration reads tutorial/conf/local/default.yaml, which the commit, and so the safe copy, "
        f"does not have. To run with it, set {advice[0]}.\n"
    ) in result.stdout
    assert "the configuration reads" not in template.launch(*advice).stdout
    assert "the configuration reads" in template.launch("-m", "x=1").stdout
    assert [seen["config"]["where"] for seen in template.seen()] == ["nowhere", "here", "nowhere"]
    records = [record["version_manager"] for record in template.records()]
    linked = [["tutorial/.env"], ["tutorial/.env", "tutorial/conf/local/default.yaml"], None]
    assert [record.get("links") for record in records] == linked
    assert len({record["safe_copy"] for record in records}) == len(template.copies()) == 3
    assert "with links to untracked tutorial/.env, tutorial/conf/local/" in mlxp(template, "show", "2").stdout
    result = mlxp(template, "rerun", "2")
    assert result.status == 0, result.text
    assert template.seen()[-1]["config"]["where"] == "here"
    assert template.records()[-1]["version_manager"] == records[1]


def test_links(template: Project) -> None:
    """A directory with tracked files stands for its untracked contents; launches with the same links share a copy."""
    for name in ("data/digits/1.txt", "data/table.txt", "data/.gitkeep", "weights/data/w", "weights/.gitkeep"):
        template.write(name, name)
    template.commit()
    for _ in range(2):
        template.launch(*option(links="[data]"))
    (path,) = template.copies()
    copy = path / "tutorial"
    assert path.name.startswith(f"{template.head}-with-")
    assert (copy / "data" / "digits").readlink() == template.directory / "data" / "digits"
    assert (copy / "data" / "table.txt").read_text() == "data/table.txt"
    assert not (copy / "data").is_symlink()
    assert not (copy / "data" / ".gitkeep").is_symlink()
    assert template.records()[0]["version_manager"]["links"] == ["tutorial/data/digits", "tutorial/data/table.txt"]
    (copy / "data" / "digits").unlink()
    result = template.launch(*option(links="[data]"))
    assert f"{path} cannot be reused (links were removed: tutorial/data/digits); it is kept." in result.stdout
    result = template.launch(*option(links="[conf]"))
    assert f"names {template.directory}/conf, which has no untracked files yet: nothing is linked." in result.stdout


def test_links_of_a_file_that_a_commit_has(template: Project) -> None:
    """It was removed from the index since."""
    template.write("table.txt", "")
    template.commit()
    template.git("rm", "-q", "--cached", "tutorial/table.txt")
    result = template.run(*COPY, *option(links="[table.txt]", uncommitted="ignore", untracked="ignore"))
    assert result.status == 1
    assert "tutorial/table.txt, which is a file of the commit: omit the link." in result.stderr
    assert template.copies() == []


def test_from_the_repository(template: Project) -> None:
    """Links and ignored configs are there."""
    template.write("conf/local/default.yaml", "# @package _global_\nwhere: here\n")
    result = template.run(BOTH, *option(run_from="repository", links="[conf/local]"))
    assert (result.status, "the configuration reads" in result.stdout) == (0, False), result.text
    assert template.seen()[0]["config"]["where"] == "here"
    assert "links" not in template.records()[0]["version_manager"]
    assert Path(template.records()[0]["version_manager"]["snapshot"]).exists()
