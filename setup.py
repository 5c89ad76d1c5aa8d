"""Installation of hydra-mlxp; what tools need to know stands in pyproject.toml."""

from pathlib import Path

from setuptools import find_namespace_packages, find_packages, setup

RESULTS = ["pandas>=2", "polars>=1", "orjson>=3.9"]

setup(
    name="hydra-mlxp",
    version="0.1.0",
    description="Launch Hydra sweeps on SLURM and OAR, with numbered run directories and one readable script per run",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    # hydra_plugins is a namespace that all plugins share: it has no __init__.py
    packages=[*find_namespace_packages(include=["hydra_plugins.mlxp*"]), *find_packages(include=["mlxp_core*"])],
    package_data={"hydra_plugins.mlxp": ["py.typed"], "mlxp_core": ["py.typed"]},
    install_requires=[
        "hydra-core>=1.3.2,<1.5",
        "omegaconf>=2.3,<2.5",
        "PyYAML>=6.0",
        "GitPython>=3.1",
        "submitit>=1.5",
        "rich>=13",
        "tenacity>=8",
        "psutil>=5.9",
        "click>=8.1",
    ],
    extras_require={
        # what the data frames of read_runs need; orjson reads metrics faster
        "results": RESULTS,
        # what example_app needs
        "example": ["numpy>=1.26", "scikit-learn>=1.3"],
        # what `make docs` needs
        "docs": ["sphinx>=7.4", "myst-parser>=4", "furo>=2024.8", "sphinx-click>=6", "sphinx-design>=0.6"],
        "dev": [
            *RESULTS,
            "pytest>=8",
            "hypothesis>=6",
            "pexpect>=4.9",
            "pytest-xdist>=3",
            "pytest-rerunfailures>=16",
            "hydra-joblib-launcher>=1.2",
            "hydra-optuna-sweeper>=1.2",
            "hydra-zen>=0.13",
            "ruff>=0.9",
            "mypy>=1.15",
            "types-PyYAML",
            "types-psutil",
            "types-pexpect",
        ],
    },
    entry_points={
        "console_scripts": ["mlxp = mlxp_core.cli:main"],
        # Hydra 1.4 finds plugins here; 1.3 scans hydra_plugins
        "hydra.plugins": [
            "mlxp_slurm = hydra_plugins.mlxp.launchers:SLURMLauncher",
            "mlxp_oar = hydra_plugins.mlxp.launchers:OARLauncher",
            "mlxp_mlxp = hydra_plugins.mlxp.launchers:MLXPLauncher",
            "mlxp_local = hydra_plugins.mlxp.launchers:LocalLauncher",
            "mlxp_search_path = hydra_plugins.mlxp.search_path:CallbackWarnings",
        ],
    },
    # setuptools' default editable install hides a namespace package from Hydra 1.3
    options={"editable_wheel": {"mode": "compat"}},
)
